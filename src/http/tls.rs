//! TLS: a certificate that is read again when its files change, and handshakes that are bounded in number and time.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::tasks;

/// How long a client may take for its handshake, the wait for a place among those under way included.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Handshakes under way at the same time: each costs a signature.
const HANDSHAKES_MAX: usize = 256;
/// How often it is looked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes that each file may have.
const FILE_MAX: u64 = 1024 * 1024;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is too long for what it should be.
    #[error("{0} has more than 1 MiB and cannot be a certificate or a key")]
    TooLong(PathBuf),
    /// There is no certificate in it.
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// There is no private key in it.
    #[error("{0} holds no private key in PEM form")]
    NoKey(PathBuf),
    /// The key does not fit the certificate, or one of them is of a kind that is not supported.
    #[error("the certificate {certificate} cannot be used with the key {key}: {source}")]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What the two files held when they were read.
#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
}

/// Where certificate and key are, and those that are in use.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    in_use: Arc<InUse>,
    acceptor: TlsAcceptor,
    handshakes: Semaphore,
    /// What was read last, whether it could be used or not.
    seen: RwLock<Files>,
}

struct InUse(RwLock<Arc<CertifiedKey>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InUse(…)")
    }
}

impl ResolvesServerCert for InUse {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { path: path.into(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
        return Err(Error::TooLong(path.into()));
    }
    std::fs::read(path).map_err(unreadable)
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key, both in PEM form.
    ///
    /// # Errors
    /// They cannot be read, or cannot be used together.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, Error> {
        let files = Files { certificate: read(&certificate)?, key: read(&key)?.into() };
        let in_use = Arc::new(InUse(RwLock::new(certified(&files, &certificate, &key)?)));
        let unfit = |source| Error::Unfit { certificate: certificate.clone(), key: key.clone(), source };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.map_err(unfit)?.with_no_client_auth().with_cert_resolver(in_use.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            certificate,
            key,
            in_use,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            seen: RwLock::new(files),
        })
    }

    /// Reads the files again; answers whether they have changed. Connections that are open keep what they began with.
    ///
    /// # Errors
    /// They cannot be used: what was in use stays so. Told once for each change.
    fn look(&self) -> Result<bool, Error> {
        let files = Files { certificate: read(&self.certificate)?, key: read(&self.key)?.into() };
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if *seen == files {
            return Ok(false);
        }
        *seen = files;
        let fresh = certified(&seen, &self.certificate, &self.key)?;
        *self.in_use.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(true)
    }

    /// Reads the files again whenever they have changed.
    pub async fn follow_files(self: Arc<Self>, stop: CancellationToken) {
        let mut was_unreadable = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = Arc::clone(&self);
            let looked = tasks::spawn_blocking(move || tls.look()).await;
            let is_unreadable = matches!(looked, Ok(Err(Error::Unreadable { .. } | Error::TooLong(_))));
            match looked {
                Ok(Ok(true)) => tracing::info!("the TLS certificate was replaced"),
                Ok(Err(error)) if !(is_unreadable && was_unreadable) => {
                    tracing::error!(%error, "the new TLS certificate cannot be used; the one before stays in use");
                }
                Ok(Ok(false) | Err(_)) | Err(_) => {}
            }
            was_unreadable = is_unreadable;
        }
    }

    /// Makes the handshake of a connection.
    ///
    /// # Errors
    /// The client speaks no TLS, or takes too long.
    pub(super) async fn accept(&self, io: TcpStream) -> io::Result<Transport> {
        let handshake = async {
            let _place = self.handshakes.acquire().await.map_err(io::Error::other)?;
            self.acceptor.accept(io).await
        };
        let accepted = tokio::time::timeout(HANDSHAKE_WAIT, handshake).await?;
        Ok(Transport::Tls(Box::new(accepted?)))
    }
}

fn certified(files: &Files, certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| Error::NoCertificate(certificate.into()))?;
    let private = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| Error::NoKey(key.into()))?;
    let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    let unfit = |source| Error::Unfit { certificate: certificate.into(), key: key.into(), source };
    certified.map(Arc::new).map_err(unfit)
}

/// A connection's bytes, as they are or protected.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Has what is written leave at once, also while something before it is not acknowledged.
    pub(super) fn set_nodelay(&self) {
        let io = match self {
            Self::Plain(io) => io,
            Self::Tls(io) => io.get_ref().0,
        };
        // It only takes longer otherwise.
        let _ = io.set_nodelay(true);
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    fn tls(dir: &Path) -> Tls {
        let (certificate, key) = (dir.join("crt"), dir.join("key"));
        let mut made = Command::new("openssl");
        made.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        made.args(["-subj", "/CN=rollcall", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
        assert!(made.output().unwrap().status.success());
        Tls::open(certificate, key).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_is_given_up_after_five_seconds_also_by_who_waits_for_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let tls = tls(dir.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let all = tls.handshakes.acquire_many(u32::try_from(HANDSHAKES_MAX).unwrap()).await.unwrap();
        for place in [None, Some(all)] {
            drop(place);
            let (client, began) = (TcpStream::connect(listener.local_addr().unwrap()), Instant::now());
            let (client, accepted) = tokio::join!(client, listener.accept());
            let failed = tls.accept(accepted.unwrap().0).await.err().unwrap();
            assert_eq!((failed.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 5));
            assert_eq!(client.unwrap().read(&mut [0]).await.unwrap(), 0, "the connection is closed");
        }
    }
}
