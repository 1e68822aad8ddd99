//! What a person sees: pages in a real browser.

use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

mod chat;
mod docs;
mod driver;

use driver::{Browser, kill};

/// The program of `examples/chat`, which Cargo builds unless it is told which tests to build.
static CHAT: LazyLock<PathBuf> = LazyLock::new(|| {
    const BUILD: &str =
        "run `cargo build --all-features --example chat` first, with `--workspace` where the tests are built so";
    // Beside `deps`, where this program is.
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/chat");
    let built = program.metadata().and_then(|metadata| metadata.modified()).expect(BUILD);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/chat");
    for source in std::fs::read_dir(sources).unwrap() {
        let changed = source.unwrap().metadata().unwrap().modified().unwrap();
        assert!(changed <= built, "the example has changed since it was built: {BUILD}");
    }
    program
});

/// The example as it is documented, on free ports. It is ended when dropped, and with it the service that it has started.
struct Chat {
    process: Child,
    /// Where the page is.
    url: String,
    /// Where Rollcall is.
    rollcall: String,
}

impl Chat {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(&*CHAT)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("ROLLCALL_LOG", "warn")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let rollcall = lines.find_map(|line| Some(line.strip_prefix("Rollcall is at ")?.split_once(',')?.0.to_owned()));
        let url = lines.find_map(|line| line.strip_prefix("open ").map(str::to_owned));
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url: url.expect("the example does not start"), rollcall: rollcall.unwrap() }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        kill(&format!("-{}", self.process.id()));
        let _ = self.process.wait();
    }
}

/// A line to a service that can be cut, and can lead to another service afterwards.
struct Line {
    address: SocketAddr,
    /// Where it leads; `None`: it is cut.
    to: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap(),
            to: Arc::new(Mutex::new(Some(service))),
            open: Arc::default(),
        };
        let (to, open) = (line.to.clone(), line.open.clone());
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let target = *to.lock().unwrap();
                let Some(service) = target.and_then(|to| TcpStream::connect(to).ok()) else { continue };
                for (from, to) in [(&caller, &service), (&service, &caller)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.lock().unwrap().push(caller);
            }
        });
        line
    }

    fn cut(&self) {
        *self.to.lock().unwrap() = None;
        for caller in self.open.lock().unwrap().drain(..) {
            let _ = caller.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self, service: SocketAddr) {
        *self.to.lock().unwrap() = Some(service);
    }
}
