//! Makes the code of `ringfence/**/*.proto`, without a protoc on the machine.
#![expect(
    clippy::unwrap_used,
    reason = "a build script that fails is meant to say where"
)]

use std::path::Path;

use prost_types::FileDescriptorSet;
use protox::prost::Message;

fn main() {
    println!("cargo:rerun-if-changed=ringfence");
    let files = [
        "ringfence/inference/v1/inference.proto",
        "ringfence/v1/policy.proto",
        "ringfence/v1/objects.proto",
        "ringfence/v1/ringfence.proto",
        "ringfence/v1/dataplane.proto",
    ];
    let descriptors: FileDescriptorSet = protox::compile(files, ["."]).unwrap();
    let out = std::env::var_os("OUT_DIR").unwrap();
    let set = Path::new(&out).join("descriptors.bin");
    std::fs::write(set, descriptors.encode_to_vec()).unwrap();
    let mut prost = tonic_prost_build::Config::new();
    // What holds a key has no derived Debug (T8); those of `redact.rs` leave it out.
    prost.skip_debug([
        "ringfence.inference.v1.ResolvedRoute",
        "ringfence.v1.Provider",
        "ringfence.v1.GetSandboxProviderEnvironmentResponse",
    ]);
    // Why: maps in the order of their keys, so equal messages have equal bytes.
    prost.btree_map(["."]);
    tonic_prost_build::configure()
        .compile_fds_with_config(descriptors, prost)
        .unwrap();
}
