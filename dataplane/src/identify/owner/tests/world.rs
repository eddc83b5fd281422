//! A sandbox as far as identity is concerned: network, pid and mount namespaces, a listener, a `sock_diag` socket, a
//! `/proc` of its own, a process 1 that is not the sandbox's, and an entry process that does what it is told.

use super::*;
use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// See the file's head.
pub(in crate::identify) struct World {
    pub(in crate::identify) lookup: Lookup,
    directory: PathBuf,
    proc: OwnedFd,
    listener: TcpListener,
    init: Child,
    /// Lines for the entry process; a line that begins with `!` is for process 1.
    orders: ChildStdin,
    output: Output,
    outside: Sender<Command>,
    outsiders: Receiver<Child>,
    strangers: Vec<Child>,
}

/// An accepted connection and its two ends.
pub(in crate::identify) struct Connection {
    pub(in crate::identify) client: SocketAddrV4,
    pub(in crate::identify) proxy: SocketAddrV4,
    /// Kept open.
    _stream: TcpStream,
}

/// Runs the calling test alone, in a user namespace of its own. The test runner names threads after tests.
fn run_again_as_root() {
    let thread = std::thread::current();
    let test = thread
        .name()
        .expect("tests run on threads named after them");
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .status()
        .expect("these tests need unshare(1) of util-linux");
    assert!(
        status.success(),
        "{test} failed as root of a user namespace"
    );
}

impl World {
    /// `None` for a user without rights: the test has then run, and passed, as root of a user namespace.
    pub(in crate::identify) fn new() -> Option<World> {
        if !rustix::process::geteuid().is_root() {
            run_again_as_root();
            return None;
        }
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("ringfence-owner-{}-{number}", std::process::id()));
        _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let directory = std::fs::canonicalize(directory).unwrap();
        make_program(&directory, "entry");
        shell(&directory, "mkfifo never signal");

        // Namespaces belong to the thread that enters them; it stays to start processes from outside of the tree.
        let (outside, commands) = channel::<Command>();
        let (made, outsiders) = channel();
        let (ready, is_ready) = channel();
        let home = directory.clone();
        std::thread::spawn(move || {
            let flags = UnshareFlags::NEWNET | UnshareFlags::NEWPID | UnshareFlags::NEWNS;
            // SAFETY: no descriptor table is unshared; the namespaces are this thread's and its children's alone.
            unsafe { unshare_unsafe(flags) }
                .expect("namespaces cannot be made: are user namespaces off?");
            loopback_up();
            let listener = TcpListener::bind("127.0.0.1:3128").unwrap();
            let diag = netlink_socket(Some(netlink::SOCK_DIAG));
            let mut init = Command::new("/bin/bash");
            init.arg("-c")
                .arg(INIT)
                .arg(&home)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            ready
                .send((listener, diag, init.spawn().expect("these tests need bash")))
                .unwrap();
            for mut command in commands {
                made.send(command.spawn().unwrap()).unwrap();
            }
        });
        let (listener, diag, mut init) = is_ready.recv().expect("the namespaces could not be made");
        let orders = init.stdin.take().unwrap();
        let reader = BufReader::new(init.stdout.take().unwrap());
        let (lines, heard) = channel();
        std::thread::spawn(move || {
            reader
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| lines.send(line))
        });
        let output = Output {
            lines: heard,
            early: RefCell::new(Vec::new()),
        };
        output.expect("up");
        let path = format!("/proc/{}/root/proc", init.id());
        let proc = || {
            open(
                &*path,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
        };
        Some(World {
            lookup: Lookup::new(diag, proc()),
            directory,
            proc: proc(),
            listener,
            init,
            orders,
            output,
            outside,
            outsiders,
            strangers: Vec::new(),
        })
    }

    /// A program of its own: a copy of bash whose bytes no other has. Its path.
    pub(in crate::identify) fn program(&self, name: &str) -> String {
        make_program(&self.directory, name);
        self.path(name)
    }

    pub(in crate::identify) fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }

    /// A file of commands; its path.
    pub(in crate::identify) fn script(&self, name: &str, text: &str) -> String {
        std::fs::write(self.directory.join(name), text).unwrap();
        self.path(name)
    }

    pub(in crate::identify) fn hash(&self, name: &str) -> [u8; 32] {
        let hex = shell(&self.directory, &format!("sha256sum < '{name}'"));
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    /// The shell command that connects, on descriptor 3.
    pub(in crate::identify) fn connect(&self) -> String {
        "exec 3<>/dev/tcp/127.0.0.1/3128".to_owned()
    }

    /// Has the entry process run a line.
    pub(in crate::identify) fn tell(&mut self, line: &str) {
        assert!(!line.contains('\n'));
        writeln!(self.orders, "{line}").unwrap();
    }

    /// Has the entry process start a command that connects.
    pub(in crate::identify) fn run(&mut self, command: &str) -> Connection {
        self.tell(&format!("{command} &"));
        self.accept()
    }

    /// Has process 1 run a line that connects.
    pub(in crate::identify) fn run_in_init(&mut self, line: &str) -> Connection {
        self.tell(&format!("!{line}"));
        self.accept()
    }

    /// Runs a program in the namespaces whose parent is outside of them.
    pub(in crate::identify) fn run_from_outside(
        &mut self,
        program: &str,
        line: &str,
    ) -> Connection {
        let mut command = Command::new(program);
        let never = self.path("never");
        command
            .arg("-c")
            .arg(format!("exec 9<>{never}; {line}"))
            .stdin(Stdio::null());
        self.outside.send(command).unwrap();
        self.strangers.push(self.outsiders.recv().unwrap());
        self.accept()
    }

    fn accept(&self) -> Connection {
        let (stream, client) = self.listener.accept().unwrap();
        let (SocketAddr::V4(client), SocketAddr::V4(proxy)) =
            (client, stream.local_addr().unwrap())
        else {
            panic!("an IPv4 listener accepts IPv4")
        };
        Connection {
            client,
            proxy,
            _stream: stream,
        }
    }

    /// Waits for a line of output.
    pub(in crate::identify) fn expect(&self, line: &str) {
        self.output.expect(line);
    }

    /// Lets one `read … <&4` of a program go on.
    pub(in crate::identify) fn signal(&self) {
        let mut pipe = std::fs::OpenOptions::new()
            .write(true)
            .open(self.directory.join("signal"))
            .unwrap();
        pipe.write_all(b"go\n").unwrap();
    }

    pub(in crate::identify) fn identify(
        &self,
        connection: &Connection,
    ) -> Result<Caller, IdentityError> {
        self.lookup.identify(connection.client, connection.proxy)
    }

    pub(in crate::identify) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The end of process 1 is the end of all in its namespace.
        _ = self.init.kill();
        // First these: process 1 ends only when they are reaped, and that is for us to do.
        for stranger in &mut self.strangers {
            _ = stranger.wait();
        }
        _ = self.init.wait();
        _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// `$0` is the directory. Descriptor 9 is a pipe that nobody writes, 4 one that the test writes.
const INIT: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc /proc
exec 9<>"$0/never" 4<>"$0/signal"
exec 8> >(exec "$0/entry" -c 'echo up; while read -r line <&7; do eval "$line"; done' 7<&0)
while read -r line; do
  case "$line" in
    !*) eval "${line#!}" ;;
    *) printf '%s\n' "$line" >&8 ;;
  esac
done
"#;

/// What the processes say, in whatever order.
struct Output {
    lines: Receiver<String>,
    early: RefCell<Vec<String>>,
}

impl Output {
    fn expect(&self, line: &str) {
        let mut early = self.early.borrow_mut();
        while !early.iter().any(|said| said == line) {
            early.push(
                self.lines
                    .recv_timeout(Duration::from_secs(20))
                    .unwrap_or_else(|_| panic!("no {line:?} came")),
            );
        }
        early.retain(|said| said != line);
    }
}

/// Why by a process of its own: a descriptor open for writing in this one could be inherited by a child that another
/// test is starting, and the program could then not be executed ("text file busy"). What follows the sections of an ELF
/// file is not loaded.
fn make_program(directory: &Path, name: &str) {
    shell(
        directory,
        &format!("cp /bin/bash '{name}' && printf '{name}' >> '{name}'"),
    );
}

fn shell(directory: &Path, line: &str) -> String {
    let output = Command::new("/bin/bash")
        .arg("-c")
        .arg(line)
        .current_dir(directory)
        .output()
        .expect("these tests need bash");
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn netlink_socket(protocol: Option<rustix::net::Protocol>) -> OwnedFd {
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )
    .unwrap()
}

/// `ip link set lo up` in the thread's network namespace: RTM_NEWLINK for interface 1 with IFF_UP, to be acknowledged.
fn loopback_up() {
    let mut message = [0_u8; 32];
    message[0..4].copy_from_slice(&32_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&16_u16.to_ne_bytes());
    message[6..8].copy_from_slice(&5_u16.to_ne_bytes());
    for at in [20, 24, 28] {
        message[at..at + 4].copy_from_slice(&1_u32.to_ne_bytes());
    }
    // NETLINK_ROUTE is protocol 0.
    let socket = netlink_socket(None);
    rustix::net::send(&socket, &message, rustix::net::SendFlags::empty()).unwrap();
    let mut answer = [0_u8; 256];
    rustix::net::recv(&socket, &mut answer[..], rustix::net::RecvFlags::empty()).unwrap();
    assert_eq!(answer[16..20], [0; 4], "loopback could not be brought up");
}
