//! What may stand between a node and its server: TLS, and PgBouncer.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rollcall::database::Database;
use rollcall::eventlog::EventLog;
use rollcall::eventlog::postgres::{Mode, Postgres};

use super::history::{Reader, append};
use crate::support::Cluster;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Killed when dropped.
struct Bouncer(Child);

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bouncer(cluster: &Cluster, port: u16) -> Bouncer {
    let ini = format!(
        "[databases]\n* = host={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\nserver_reset_query =\ndefault_pool_size = 3\nuser = postgres\n\
         [users]\n",
        cluster.path("")
    )
    .replace("* = host=", "* = user=rollcall host=");
    std::fs::write(cluster.path("pgbouncer.ini"), ini).unwrap();
    let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
    let program = program.expect("PgBouncer is not installed: run ./test.sh, which installs it");
    let mut command = Command::new(program);
    let child = command.arg("-q").arg(cluster.path("pgbouncer.ini")).stdout(Stdio::null()).spawn().unwrap();
    Bouncer(child)
}

#[test]
fn the_log_works_through_a_bouncer_that_gives_each_transaction_another_connection() {
    let cluster = Cluster::start();
    let (name, port) = (cluster.database(), free_port());
    let _bouncer = bouncer(&cluster, port);
    let through: Database = format!("postgres://rollcall@127.0.0.1:{port}/{name}?sslmode=disable").parse().unwrap();
    run(async {
        let mut waited = 0;
        let log = loop {
            match Postgres::open(&through, Mode::Append).await {
                Ok(log) => break log,
                Err(error) if waited > 100 => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            waited += 1;
        };
        let direct: Database = cluster.address(&name).parse().unwrap();
        let other = Postgres::open(&direct, Mode::Append).await.unwrap();
        for revision in 0..40 {
            let node: &dyn EventLog = if revision % 3 == 0 { &other } else { &log };
            append(node, "s", revision).await;
        }
        let mut head = log.watch();
        head.wait_for(|head| *head == 40).await.unwrap();
        let mut reader = Reader::default();
        reader.take(&log.read_all(0, 100).await.unwrap()).unwrap();
        assert_eq!(reader.position(), 40);
    });
}

#[test]
fn with_tls_only_a_server_whose_certificate_is_trusted_is_talked_to() {
    let cluster = Cluster::start();
    let (name, port) = (cluster.database(), free_port());
    let (key, certificate) = (cluster.path("server.key"), cluster.path("server.crt"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    Command::new("chown").args(["postgres", &key, &certificate]).status().unwrap();
    let data = cluster.path("data");
    let more = format!("ssl=on\nssl_key_file='{key}'\nssl_cert_file='{certificate}'\nport={port}\n");
    let listens = format!("{more}listen_addresses='localhost'\n");
    cluster.configure(&listens);
    std::fs::write(
        format!("{data}/pg_hba.conf"),
        "hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\nlocal all all trust\n",
    )
    .unwrap();
    cluster.stop("fast");
    cluster.resume();
    let open = |more: &str| {
        let address = format!("postgres://rollcall@localhost:{port}/{name}?{more}");
        let database: Database = address.parse().unwrap();
        run(async { Postgres::open(&database, Mode::Append).await.map(drop) })
    };
    open(&format!("sslmode=require&sslrootcert={certificate}")).unwrap();
    let untrusted = open("sslmode=require").unwrap_err();
    assert!(untrusted.to_string().contains("certificate"), "{untrusted}");
    assert!(open("sslmode=disable").is_err(), "the server wants TLS");
    open(&format!("sslmode=verify-full&sslrootcert={certificate}")).unwrap();
}

/// Anything but a name and address of this host stands for a server elsewhere.
#[test]
fn a_server_elsewhere_without_a_certificate_is_refused_and_what_to_do_is_said() {
    let cluster = Cluster::start();
    let (name, port) = (cluster.database(), free_port());
    cluster.configure(&format!("listen_addresses='0.0.0.0'\nport={port}\n"));
    std::fs::write(cluster.path("data/pg_hba.conf"), "host all all all trust\nlocal all all trust\n").unwrap();
    cluster.stop("fast");
    cluster.resume();
    // An address of this machine that is not its loopback.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let elsewhere = match probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()) {
        Ok(address) if !address.ip().is_loopback() => address.ip(),
        _ => return eprintln!("this machine has no address but its loopback"),
    };
    let open = |more: &str| {
        let database: Database = format!("postgres://rollcall@{elsewhere}:{port}/{name}{more}").parse().unwrap();
        (database.weaknesses(), run(async { Postgres::open(&database, Mode::Append).await.map(drop) }))
    };
    let (weaknesses, opened) = open("");
    let told = opened.unwrap_err().to_string();
    assert!(told.contains("names no sslmode") && told.contains("sslrootcert"), "{told}");
    assert!(weaknesses.is_empty());
    let (weaknesses, opened) = open("?sslmode=disable");
    opened.unwrap();
    assert!(weaknesses.iter().any(|weakness| weakness.contains("is not encrypted")), "{weaknesses:?}");
}
