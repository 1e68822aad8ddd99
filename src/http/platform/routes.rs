//! The table of endpoints of a version of the Server API.

/// Declares the endpoints of a face: paths, and the handlers that answer them. Where it is used, `Call`, `Answer` and `Fault` are
/// the face's own.
macro_rules! routes {
    ($($path:literal $(| $alias:literal)* => $group:ident::$handler:ident,)*) => {
        /// An endpoint.
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy)]
        enum Route { $($handler,)* }

        impl Route {
            fn of(path: &str) -> Option<Self> {
                match path {
                    $($path $(| $alias)* => Some(Self::$handler),)*
                    _ => None,
                }
            }

            /// Its path.
            fn path(self) -> &'static str {
                match self { $(Self::$handler => $path,)* }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$handler => stringify!($handler),)* }
            }

            /// Boxed: the future of a call would else be as large as that of the largest handler, and is moved several
            /// times.
            fn answer<'c>(self, call: &'c Call<'c>) -> futures_util::future::LocalBoxFuture<'c, Result<Answer, Fault>> {
                match self { $(Self::$handler => Box::pin($group::$handler(call)),)* }
            }
        }
    };
}
pub(in crate::http) use routes;
