//! TLS by setting.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::service::parse;
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const DEADLINE: Duration = Duration::from_secs(60);

/// A certificate for this machine, and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn create(dir: &Path, name: &str) -> Self {
        let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "30", "-subj", "/CN=rollcall", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { certificate, key }
    }

    /// Takes the place of another one, as an operator would do it: each file at once, one after the other.
    fn replace(&self, other: &Self) {
        for (from, to) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            let beside = to.with_extension("new");
            std::fs::copy(from, &beside).unwrap();
            std::fs::rename(beside, to).unwrap();
        }
    }
}

fn start(dir: &Path, pair: &Pair) -> Result<Service, String> {
    let (certificate, key) = (pair.certificate.to_str().unwrap(), pair.key.to_str().unwrap());
    Service::try_start_with(&dir.join("data"), &[APP], &["--tls-cert", certificate, "--tls-key", key])
}

/// A connection to a service whose certificate is to be this one.
fn connect(service: &Service, pair: &Pair) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pair.certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = ServerName::IpAddress(IpAddr::try_from("127.0.0.1").unwrap());
    let stream = TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), address).unwrap(), stream)
}

/// Asks whether the service is ready; an error where its certificate is another one.
fn ask(service: &Service, pair: &Pair) -> std::io::Result<Reply> {
    let mut stream = connect(service, pair);
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer)?;
    assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    Ok(parse(&answer).unwrap())
}

#[test]
fn a_socket_is_opened_asked_and_closed_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::create(dir.path(), "used");
    let service = start(dir.path(), &pair).unwrap();
    let request = format!("ws://{}/client/v1/connect", service.address);
    let (mut socket, _) = tungstenite::client(request, connect(&service, &pair)).unwrap();
    let params = json!({"token": "nonsense", "platform": "web"});
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "connect", "params": params}).to_string();
    socket.send(Message::text(asked)).unwrap();
    let answer: Value = serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(answer["error"]["code"], json!(31_004), "{answer}");
    let Message::Close(Some(closed)) = socket.read().unwrap() else { panic!("it is not closed") };
    assert_eq!(u16::from(closed.code), 4501);
    assert!(matches!(socket.read().unwrap_err(), tungstenite::Error::ConnectionClosed), "and TLS is ended, too");
}

#[test]
fn a_certificate_is_replaced_without_a_restart_and_a_broken_one_leaves_the_one_before_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| Pair::create(dir.path(), name));
    let used = Pair::create(dir.path(), "used");
    first.replace(&used);
    let service = start(dir.path(), &used).unwrap();
    assert_eq!(ask(&service, &first).unwrap().status, 200);
    assert!(ask(&service, &second).is_err(), "the control: it is another certificate");
    // One connection stays open through all of it.
    let mut kept = connect(&service, &first);
    let again = |kept: &mut StreamOwned<ClientConnection, TcpStream>| {
        kept.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 1_024];
        let read = kept.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
    };
    again(&mut kept);
    std::fs::write(&used.certificate, "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n").unwrap();
    service.eventually("it says that the new certificate cannot be used", |service| {
        service.errors().contains("the one before stays in use")
    });
    assert_eq!(ask(&service, &first).unwrap().status, 200);
    second.replace(&used);
    service.eventually("the second certificate is in use", |service| ask(service, &second).is_ok());
    again(&mut kept);
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}

#[test]
fn whoever_speaks_no_tls_or_takes_too_long_for_the_handshake_is_closed_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::create(dir.path(), "pair");
    let service = start(dir.path(), &pair).unwrap();
    // More than handshakes may be under way: these say nothing, and those half of a hello.
    let mut slow: Vec<_> = (0..300).map(|_| TcpStream::connect(service.address).unwrap()).collect();
    for stream in slow.iter_mut().step_by(2) {
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    }
    let plain = service.raw(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(parse(&plain).is_none(), "it is answered without TLS");
    for mut stream in slow {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut rest = vec![];
        // Closed, cleanly or not; an error that says the time is over would be the test's own.
        let ended = stream.read_to_end(&mut rest);
        assert!(!matches!(ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "it is still open");
    }
    assert_eq!(ask(&service, &pair).unwrap().status, 200);
}

#[test]
fn a_clean_stop_ends_idle_connections_as_tls_ends() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::create(dir.path(), "pair");
    let mut service = start(dir.path(), &pair).unwrap();
    let mut idle = connect(&service, &pair);
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 1_024]).unwrap() > 0);
    service.signal("TERM");
    let (status, errors) = service.ended();
    assert!(status.success(), "{errors}");
    let mut rest = vec![];
    idle.read_to_end(&mut rest).expect("it ends as TLS ends");
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let [pair, other] = ["pair", "other"].map(|name| Pair::create(dir.path(), name));
    let mixed = Pair { certificate: pair.certificate.clone(), key: other.key };
    let said = start(dir.path(), &mixed).err().unwrap();
    assert!(said.contains("cannot be used with the key"), "{said}");
    let absent = Pair { certificate: dir.path().join("absent.crt"), key: pair.key.clone() };
    assert!(start(dir.path(), &absent).err().unwrap().contains("absent.crt cannot be read"));
    let swapped = Pair { certificate: pair.key.clone(), key: pair.certificate.clone() };
    assert!(start(dir.path(), &swapped).err().unwrap().contains("holds no certificate"));
    let data = dir.path().join("data");
    let alone = Service::try_start_with(&data, &[APP], &["--tls-cert", pair.certificate.to_str().unwrap()]);
    assert!(alone.err().unwrap().contains("both --tls-cert and --tls-key"));
}
