use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorSet;

use super::*;

/// TR-107, RPC-2: the build fails for a method that does not say who may call it.
#[test]
fn every_method_declares_who_may_call_it() {
    let declared: BTreeSet<&str> = TABLE.iter().map(|(method, _)| *method).collect();
    for method in methods(proto::DESCRIPTORS) {
        assert!(declared.contains(method.as_str()), "{method} is undeclared");
    }
}

/// TR-107: a line for a method that is gone would admit whatever comes under that name next.
#[test]
fn the_table_has_no_line_without_a_method() {
    let mut served = methods(proto::DESCRIPTORS);
    served.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
    served.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
    served.extend(methods(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));
    for (method, _) in TABLE {
        // `List` of newer health services is not served by ours.
        assert!(served.contains(*method), "{method} does not exist");
    }
}

#[test]
fn what_is_not_declared_is_refused_for_everybody() {
    let everybody = [
        Caller::Local,
        Caller::Admin,
        Caller::Viewer,
        host("h"),
        Caller::Stranger,
    ];
    for caller in everybody {
        for path in [
            "/ringfence.v1.Ringfence/Everything",
            "/",
            "",
            "/ringfence.v1.Ringfence/Health/",
        ] {
            let refused = admit(&caller, path).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        }
    }
}

#[test]
fn no_certificate_opens_what_only_hosts_and_only_admins_may_call() {
    for (method, roles) in TABLE {
        assert_eq!(
            admit(&Caller::Admin, method).is_ok(),
            roles.contains(&Role::Admin)
        );
        assert_eq!(
            admit(&Caller::Viewer, method).is_ok(),
            roles.contains(&Role::Viewer)
        );
        assert_eq!(
            admit(&host("h"), method).is_ok(),
            roles.contains(&Role::Host)
        );
        assert!(admit(&Caller::Local, method).is_ok(), "{method}");
        assert!(admit(&Caller::Stranger, method).is_err());
    }
}

/// TR-108.
#[test]
fn a_host_speaks_for_itself_and_its_launchers_alone() {
    let host = host("node-1");
    assert!(host.speaks_for("node-1"));
    assert!(host.speaks_for("node-1/demo"));
    for other in [
        "",
        "node-10",
        "node",
        "node-2",
        "node-2/node-1",
        "/node-1",
        "NODE-1",
    ] {
        assert!(!host.speaks_for(other), "{other}");
    }
    assert!(!Caller::Admin.speaks_for("node-1"));
}

#[test]
fn an_unbound_sandbox_is_no_hosts_to_read() {
    let sandbox = v1::Sandbox::default();
    assert!(!host("h").reaches(&sandbox));
    assert!(Caller::Viewer.reaches(&sandbox));
}

#[test]
fn a_host_id_is_short_and_plain() {
    for good in ["a", "node-1.example_2", &"x".repeat(128)] {
        assert_eq!(HostId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a/b", "a b", "ä", "a\n", &"x".repeat(129)] {
        assert_eq!(HostId::parse(bad), Err(BadHostId), "{bad:?}");
    }
}

fn host(id: &str) -> Caller {
    Caller::Host(HostId::parse(id).unwrap())
}

fn methods(descriptors: &[u8]) -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(descriptors).unwrap();
    let mut methods = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                methods.insert(format!(
                    "/{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    methods
}
