//! Why a server that is there cannot be talked to: the client only says that it could not connect.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use eventstore::ClientSettings;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::tasks;

/// How long a node may take for each message.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What a node speaks.
enum Spoken {
    /// TLS, with a certificate that holds here.
    Tls,
    /// TLS, and we do not believe that it is this node.
    Unbelieved(String),
    /// Something else.
    Plain,
}

/// What of the address makes it impossible to talk to a node that is there; `None`: none is found, or it cannot be told.
/// It may take seconds.
pub(super) async fn of_address(settings: &ClientSettings) -> Option<String> {
    let settings = settings.clone();
    tasks::spawn_blocking(move || {
        settings.hosts().iter().find_map(|host| of_node(&settings, &host.host, u16::try_from(host.port).ok()?))
    })
    .await
    .ok()?
}

fn of_node(settings: &ClientSettings, host: &str, port: u16) -> Option<String> {
    let spoken = speak(settings, host, port)?;
    match (settings.is_secure_mode_enabled(), spoken) {
        (true, Spoken::Plain) => Some(format!(
            "KurrentDB at {host}:{port} does not speak TLS: give it a certificate, or, where nobody else can listen, add \
             tls=false to the address"
        )),
        (true, Spoken::Unbelieved(why)) if settings.is_tls_certificate_verification_enabled() => Some(format!(
            "the certificate of KurrentDB at {host}:{port} does not hold ({why}): name the authority that signed it with \
             tlsCaFile=FILE in the address, and the host as it stands in the certificate"
        )),
        (false, Spoken::Tls | Spoken::Unbelieved(_)) => {
            Some(format!("KurrentDB at {host}:{port} speaks TLS: take tls=false out of the address"))
        }
        _ => None,
    }
}

/// Begins to speak TLS with a node; `None`: it does not answer, or not so that something could be told from it.
fn speak(settings: &ClientSettings, host: &str, port: u16) -> Option<Spoken> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut tls = ClientConnection::new(Arc::new(config(settings.tls_ca_file().map(String::as_str))?), name).ok()?;
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut node = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    node.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    node.set_write_timeout(Some(ANSWER_WITHIN)).ok()?;
    while tls.is_handshaking() {
        match tls.complete_io(&mut node) {
            Ok(_) => {}
            Err(error) => return spoken_with(&error),
        }
    }
    Some(Spoken::Tls)
}

fn spoken_with(error: &io::Error) -> Option<Spoken> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidMessage(_) => Some(Spoken::Plain),
        error @ rustls::Error::InvalidCertificate(_) => Some(Spoken::Unbelieved(error.to_string())),
        rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_) => Some(Spoken::Tls),
        _ => None,
    }
}

/// As the client has it: this machine's authorities, or those of a file.
fn config(authorities: Option<&str>) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(file) => drop(roots.add_parsable_certificates(CertificateDer::pem_file_iter(file).ok()?.flatten())),
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsStr;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::process::Command;

    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// A node that answers whatever it hears with this.
    fn told_by(answer: &'static [u8], query: &str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let _ = peer.read(&mut [0; 4_096]);
            let _ = peer.write_all(answer);
            let _ = peer.read_to_end(&mut vec![]);
        });
        let settings = format!("esdb://127.0.0.1:{port}?{query}").parse().unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(of_address(&settings))
    }

    /// A TLS alert: handshake failure.
    const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

    #[test]
    fn who_speaks_tls_and_who_does_not_is_told_apart() {
        let told = told_by(b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls=true").unwrap();
        assert!(told.contains("does not speak TLS"), "{told}");
        let told = told_by(ALERT, "tls=false").unwrap();
        assert!(told.contains("take tls=false out"), "{told}");
        assert_eq!(told_by(b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls=false"), None);
        assert_eq!(told_by(ALERT, "tls=true"), None);
        assert_eq!(told_by(b"", "tls=true"), None, "a node that says nothing may be starting");
    }

    #[test]
    fn a_certificate_that_does_not_hold_is_told_with_what_is_wrong_and_one_that_does_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (key, certificate) = (dir.path().join("key"), dir.path().join("certificate"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=node"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args([OsStr::new("-keyout"), key.as_os_str(), OsStr::new("-out"), certificate.as_os_str()])
            .output();
        assert!(made.unwrap().status.success());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
        let config = config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap());
        let config = Arc::new(config.unwrap());
        std::thread::spawn(move || {
            for mut peer in listener.incoming().map_while(Result::ok) {
                let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
                while tls.is_handshaking() && tls.complete_io(&mut peer).is_ok() {}
            }
        });
        let told = |query: &str| {
            let settings = format!("esdb://127.0.0.1:{port}?{query}").parse().unwrap();
            tokio::runtime::Runtime::new().unwrap().block_on(of_address(&settings))
        };
        let unknown = told("tls=true").unwrap();
        assert!(unknown.contains("UnknownIssuer") && unknown.contains("tlsCaFile"), "{unknown}");
        assert_eq!(told(&format!("tls=true&tlsCaFile={}", certificate.display())), None);
        assert_eq!(told("tls=true&tlsVerifyCert=false"), None);
        assert!(told("tls=false").unwrap().contains("take tls=false out"));
    }

    #[test]
    fn a_server_that_is_not_there_tells_nothing() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!("esdb://127.0.0.1:{closed}?tls=true").parse().unwrap();
        assert_eq!(tokio::runtime::Runtime::new().unwrap().block_on(of_address(&settings)), None);
    }
}
