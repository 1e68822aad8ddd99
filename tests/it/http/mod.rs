//! The faces over HTTP, as a back end meets them.

mod registration;
