//! The shapes of what faces take and answer, for their documents.

use std::any::TypeId;
use std::borrow::Cow;

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A schema with its name, and those it refers to.
pub(super) type Named = Vec<(String, RefOr<Schema>)>;

/// The shape of `T`, last in the list; none where it is `()`.
pub(super) fn shape<T: ToSchema + PartialSchema + 'static>() -> Named {
    if TypeId::of::<T>() == TypeId::of::<()>() { vec![] } else { named(T::name, T::schema, T::schemas) }
}

fn named(name: fn() -> Cow<'static, str>, schema: fn() -> RefOr<Schema>, refers_to: fn(&mut Named)) -> Named {
    let mut shapes = Vec::new();
    refers_to(&mut shapes);
    shapes.push((name().into_owned(), schema()));
    shapes
}
