//! Opening a data directory whose log is broken: to go on with it, or to copy what is left of it.

#[cfg(feature = "kurrentdb")]
use std::sync::Arc;

use super::{DataDir, Error, Place};
#[cfg(feature = "kurrentdb")]
use super::{LogPlace, Stores, kurrentdb};
#[cfg(feature = "kurrentdb")]
use crate::audit::incident::Incidents;
#[cfg(feature = "kurrentdb")]
use crate::background::Background;
#[cfg(feature = "kurrentdb")]
use crate::eventlog::{self, Damage, DamageRecorder as _};
#[cfg(feature = "kurrentdb")]
use crate::privacy::Vault;

impl DataDir {
    /// Opens a data directory to go on with the log as it is. A replica that holds more than its stream in `KurrentDB` is
    /// put aside and made anew.
    ///
    /// # Errors
    /// As [`DataDir::open`]; and where nobody can go on with the stream.
    pub fn open_to_recover(place: &Place) -> Result<Self, Error> {
        place.must_exist()?;
        #[cfg(feature = "kurrentdb")]
        return Self::create_with(place, Place::stores_to_recover);
        #[cfg(not(feature = "kurrentdb"))]
        Self::create(place)
    }

    /// Opens a data directory to copy its log. Of a log in `KurrentDB` that is broken it is what the replica holds.
    ///
    /// # Errors
    /// As [`DataDir::open`].
    pub fn open_to_copy(place: &Place) -> Result<Self, Error> {
        place.must_exist()?;
        #[cfg(feature = "kurrentdb")]
        return Self::create_with(place, Place::stores_to_copy);
        #[cfg(not(feature = "kurrentdb"))]
        Self::create(place)
    }
}

#[cfg(feature = "kurrentdb")]
impl Place {
    fn stores_to_recover(&self, vault: &dyn Vault, background: Option<&Background>) -> Result<Stores, Error> {
        match (self.stores(vault, background), &self.log, background) {
            (
                Err(Error::Log(eventlog::Error::Corrupt { position, reason })),
                LogPlace::Kurrent(address, _),
                Some(background),
            ) if reason.damage == Damage::Rewound => {
                // What is lost is known from it, once the replica is aside.
                Incidents::of(&self.dir).record(position, &reason);
                background.block_on(kurrentdb::set_aside(&kurrentdb::replica(address, &self.dir)))?;
                self.stores(vault, Some(background))
            }
            (opened, ..) => opened,
        }
    }

    fn stores_to_copy(&self, vault: &dyn Vault, background: Option<&Background>) -> Result<Stores, Error> {
        match (self.stores(vault, background), &self.log, background) {
            (Err(Error::Log(eventlog::Error::Corrupt { .. })), LogPlace::Kurrent(address, _), Some(background)) => {
                let replica = kurrentdb::replica(address, &self.dir);
                let salvaged = background.block_on(kurrentdb::Salvaged::open(kurrentdb::stream(address), &replica))?;
                Ok((Arc::new(salvaged), background.block_on(self.read_models())?))
            }
            (opened, ..) => opened,
        }
    }
}
