//! Where the root lives: the one thing of the vault that is truly forgotten.
//!
//! A cell holds the root of the vault's generation and, while a rotation is under way, that of the next one beside it.
//! What it is told to destroy is gone when it answers, as surely as its [`Finality`] says.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::privacy::{Error, Finality};

mod local;
mod mount;
mod split;
#[cfg(feature = "vault-transit")]
pub(super) mod transit;

pub(super) use local::LocalCell;
pub use mount::Doubt;
use split::SplitCell;

/// A root key, or a share of one; wiped when dropped.
pub type Root = Zeroizing<[u8; 32]>;

/// Where a root lives. A vault is named by its 16 bytes, so that a cell never answers for another vault.
///
/// A rotation calls [`RootCell::put`] with the next generation, moves the vault's tables on, and calls
/// [`RootCell::keep_only`]; it may be cut short anywhere, and what was done before may then be done again. What `put`
/// answers is kept in the tables beside what the root wraps, and `kept` when the cell is asked for that root.
pub trait RootCell: Send + Sync {
    /// Fails where the cell is on a server that does not answer now. Asked before a rotation locks anything, so that one
    /// that cannot be done holds up nobody.
    ///
    /// # Errors
    /// It does not answer.
    fn reach(&self) -> Result<(), Error> {
        Ok(())
    }

    /// The root of a generation of this vault; `None`: it is not here, or not whole.
    ///
    /// # Errors
    /// The cell cannot be read at the moment; that says nothing about the root.
    fn root(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<Option<Root>, Error>;

    /// Makes the next generation's root durable beside the current one; answers what is to be kept for it, which is
    /// worth nothing without the cell.
    ///
    /// # Errors
    /// The cell cannot be written. The current root is untouched.
    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<Vec<u8>, Error>;

    /// Destroys every root but the one of this generation; harmless when they are gone already.
    ///
    /// # Errors
    /// The cell cannot be written; an old root may still be there, and the call must be made again.
    fn keep_only(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<(), Error>;

    /// Destroys whatever root it holds: the vault it belongs to has moved.
    ///
    /// # Errors
    /// The cell cannot be written; a root may still be there.
    fn wipe(&self) -> Result<(), Error>;

    /// Whether every node can reach it. Then a root that was put and never needed need not be destroyed: nothing was
    /// kept of it.
    fn is_shared(&self) -> bool;

    /// Whether it holds no root at all, of this or any other vault.
    ///
    /// # Errors
    /// The cell cannot be read.
    fn is_empty(&self) -> Result<bool, Error>;

    /// How final a destruction in this cell is.
    fn class(&self) -> Finality;

    /// What it is, in a few words for an operator; shows no secret.
    fn describe(&self) -> String;

    /// What kind of cell it is, in a few words for a report: those it is handed to need not know a path of this machine.
    fn kind(&self) -> String {
        self.describe()
    }
}

/// What whoever runs the service has accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Accepted {
    /// A file system on which an overwritten root may survive.
    pub(super) unsuitable_mount: bool,
    /// A connection to HashiCorp Vault on which somebody may read the root.
    #[cfg_attr(not(feature = "vault-transit"), allow(dead_code))]
    pub(super) insecure_vault: bool,
}

/// Which cell a vault has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CellSpec {
    /// The file `root.cell` of the data directory.
    #[default]
    Local,
    /// A local file elsewhere.
    File(PathBuf),
    /// Two cells with a share each.
    Split(Box<CellSpec>, Box<CellSpec>),
    /// A key of HashiCorp Vault's transit engine.
    #[cfg(feature = "vault-transit")]
    Transit(String),
}

impl CellSpec {
    /// Opens the cell, for the vault in this directory.
    pub(super) fn open(&self, dir: &Path, accepted: Accepted) -> Result<Box<dyn RootCell>, Error> {
        Ok(match self {
            Self::Local => Box::new(LocalCell::open(&dir.join("root.cell"), accepted.unsuitable_mount)?),
            Self::File(path) => Box::new(LocalCell::open(path, accepted.unsuitable_mount)?),
            Self::Split(first, second) => {
                Box::new(SplitCell::new(first.open(dir, accepted)?, second.open(dir, accepted)?))
            }
            #[cfg(feature = "vault-transit")]
            Self::Transit(key) => {
                let server = transit::Server::from_environment(accepted.insecure_vault)?;
                Box::new(transit::TransitCell::new(server, key))
            }
        })
    }

    /// Opens the cell for one of many nodes.
    #[cfg_attr(not(feature = "vault-transit"), allow(unused_variables))]
    pub(super) fn open_shared(&self, accepted: Accepted) -> Result<Box<dyn RootCell>, Error> {
        match self {
            #[cfg(feature = "vault-transit")]
            Self::Transit(_) => self.open(Path::new(""), accepted),
            // A share in a file would have to be the same on every node, and be replaced on all of them at once.
            _ => Err(Error::Unavailable(
                "a root in a file of one machine serves one node, and a vault in a database serves many: name a cell \
                 that all of them reach (--root-cell transit:KEY)"
                    .into(),
            )),
        }
    }

    /// The files it lies in, for the vault in this directory, each with what speaks against its mount.
    #[must_use]
    pub fn files(&self, dir: &Path) -> Vec<(PathBuf, Option<Doubt>)> {
        let path = match self {
            Self::Local => dir.join("root.cell"),
            Self::File(path) => path.clone(),
            Self::Split(first, second) => return [first.files(dir), second.files(dir)].concat(),
            #[cfg(feature = "vault-transit")]
            Self::Transit(_) => return vec![],
        };
        // Of a directory that is still to be made, the one it will be in says where.
        let there = std::path::absolute(&path).ok();
        let there = there.and_then(|path| path.ancestors().find_map(|path| path.canonicalize().ok()));
        let doubt = there.and_then(|path| mount::doubt_about(&path));
        vec![(path, doubt)]
    }

    /// What somebody on the way to the cell could read, one sentence; `None`: nothing, or nobody is on the way.
    #[must_use]
    pub fn weakness(&self) -> Option<String> {
        match self {
            Self::Local | Self::File(_) => None,
            Self::Split(first, second) => first.weakness().or_else(|| second.weakness()),
            #[cfg(feature = "vault-transit")]
            Self::Transit(_) => transit::weakness_of_environment(),
        }
    }

    /// Opens the cell for reading alone.
    // Only a cell in HashiCorp Vault has something to accept.
    #[cfg_attr(not(feature = "vault-transit"), allow(clippy::only_used_in_recursion))]
    pub(super) fn open_to_read(&self, dir: &Path, accepted: Accepted) -> Result<Box<dyn RootCell>, Error> {
        Ok(match self {
            Self::Local => Box::new(LocalCell::open_to_read(&dir.join("root.cell"))?),
            Self::File(path) => Box::new(LocalCell::open_to_read(path)?),
            Self::Split(first, second) => {
                Box::new(SplitCell::new(first.open_to_read(dir, accepted)?, second.open_to_read(dir, accepted)?))
            }
            #[cfg(feature = "vault-transit")]
            Self::Transit(..) => return self.open(dir, accepted),
        })
    }
}
