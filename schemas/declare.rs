//! The `events!` table: one declaration yields the structs, the codec, the walk over personal values, the JSON
//! Schemas and the data map, so that they cannot drift apart.

use serde_json::Value;

use crate::personal::Class;

/// One field of one published event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDeclaration {
    /// Name of the field.
    pub name: &'static str,
    /// Its class and the field that says whose value it is; `None`: plainly not personal.
    pub personal: Option<(Class, &'static str)>,
    /// Whether its value names subjects.
    pub names_subjects: bool,
}

impl EventDeclaration {
    /// Whether several of its fields name subjects: whose event it is, and whom else it is about.
    #[must_use]
    pub fn names_others(&self) -> bool {
        self.fields.iter().filter(|field| field.names_subjects).count() > 1
    }
}

/// One published event.
#[derive(Debug, Clone)]
pub struct EventDeclaration {
    /// Name as recorded.
    pub name: &'static str,
    /// Version of its shape.
    pub version: u16,
    /// Its fields in order.
    pub fields: &'static [FieldDeclaration],
    /// Builds its JSON Schema.
    pub schema: fn() -> Value,
}

pub(crate) fn schema(name: &str, version: u16, fields: &[(&str, bool, Value)]) -> Value {
    let properties: serde_json::Map<_, _> = fields.iter().map(|(f, _, s)| ((*f).into(), s.clone())).collect();
    let required: Vec<_> = fields.iter().filter(|(_, optional, _)| !optional).map(|(f, ..)| *f).collect();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{name} v{version}"),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Declares the events of one aggregate. Each field is `plain` or names its class and whose value it is:
///
/// ```text
/// events! { "user", "What happens to a user.";
///     /// The user got a name.
///     Registered = "registered" 1 {
///         /// Who.
///         subject: plain => SubjectRef,
///         /// What the user is called.
///         name: profile of subject => Personal<String>,
///     }
/// }
/// ```
macro_rules! events {
    (
        $aggregate:literal, $about:literal;
        $(
            $(#[$doc:meta])*
            $event:ident = $name:literal $version:literal {
                $( $(#[$field_doc:meta])* $field:ident : $kind:ident $(of $subject:ident)? => $type:ty ),* $(,)?
            }
        )*
    ) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub struct $event {
                $( $(#[$field_doc])* pub $field: $type, )*
            }

            impl $event {
                /// What is published of it: name, version, fields.
                pub const DECLARATION: $crate::declare::EventDeclaration = $crate::declare::EventDeclaration {
                    name: concat!($aggregate, ".", $name),
                    version: $version,
                    fields: &[$( $crate::declare::FieldDeclaration {
                        name: stringify!($field),
                        personal: $crate::declare::class!($kind $($subject)?),
                        names_subjects: $crate::declare::names_subjects!($kind $type),
                    } ),*],
                    schema: || $crate::declare::schema(
                        concat!($aggregate, ".", $name),
                        $version,
                        &[$( (
                            stringify!($field),
                            <$type as $crate::plain::Shape>::OPTIONAL,
                            $crate::declare::shape!($kind $type),
                        ) ),*],
                    ),
                };

                fn about(&self) -> (Option<$crate::ids::SubjectRef>, Option<$crate::ids::SubjectRef>) {
                    let named: &[Option<$crate::ids::SubjectRef>] = &[$( $crate::declare::named!(self $kind $field) ),*];
                    let mut named = named.iter().copied().flatten();
                    (named.next(), named.next())
                }

                #[allow(unused_variables, clippy::unnecessary_wraps)]
                fn each_personal<E>(
                    &mut self,
                    visit: &mut $crate::personal::Visit<'_, E>,
                ) -> Result<(), E> {
                    $( $crate::declare::walk!(self visit $kind $field $($subject)?); )*
                    Ok(())
                }
            }

            impl From<$event> for Event {
                fn from(event: $event) -> Self {
                    Self::$event(event)
                }
            }
        )*

        #[doc = $about]
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant)]
        pub enum Event {
            $( $(#[$doc])* $event($event), )*
        }

        impl Event {
            /// Every published event of this aggregate.
            pub const DECLARATIONS: &'static [$crate::declare::EventDeclaration] =
                &[$( $event::DECLARATION ),*];

            /// Its declaration: name, version, fields.
            #[must_use]
            pub fn declaration(&self) -> $crate::declare::EventDeclaration {
                match self { $( Self::$event(_) => $event::DECLARATION, )* }
            }

            /// The subject whose doing or state it is, and the one other it concerns: the first two that its fields name.
            #[must_use]
            pub fn about(&self) -> (Option<$crate::ids::SubjectRef>, Option<$crate::ids::SubjectRef>) {
                match self { $( Self::$event(event) => event.about(), )* }
            }

            pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
                // What most events need: to grow copies.
                let mut json = Vec::with_capacity(1_024);
                match self { $( Self::$event(event) => serde_json::to_writer(&mut json, event)?, )* }
                Ok(json)
            }

            pub(crate) fn from_json(name: &str, version: u16, json: &[u8]) -> Option<Result<Self, serde_json::Error>> {
                match (name, version) {
                    $( (concat!($aggregate, ".", $name), $version) =>
                        Some(serde_json::from_slice(json).map(Self::$event)), )*
                    _ => None,
                }
            }

            /// Visits each personal value.
            ///
            /// # Errors
            /// What the visitor returns.
            pub fn each_personal<E>(
                &mut self,
                visit: &mut $crate::personal::Visit<'_, E>,
            ) -> Result<(), E> {
                match self { $( Self::$event(event) => event.each_personal(visit), )* }
            }
        }
    };
}

macro_rules! class {
    (plain) => {
        None
    };
    (profile $subject:ident) => {
        Some(($crate::personal::Class::Profile, stringify!($subject)))
    };
    (identity $subject:ident) => {
        Some(($crate::personal::Class::Identity, stringify!($subject)))
    };
    (moderation $subject:ident) => {
        Some(($crate::personal::Class::Moderation, stringify!($subject)))
    };
    (hold $subject:ident) => {
        Some(($crate::personal::Class::Hold, stringify!($subject)))
    };
}

macro_rules! shape {
    (plain $type:ty) => {{
        const fn plain<T: $crate::plain::Plain>() {}
        plain::<$type>();
        <$type as $crate::plain::Shape>::shape()
    }};
    ($class:ident $type:ty) => {{
        const fn personal<T: $crate::personal::PersonalField>() {}
        personal::<$type>();
        <$type as $crate::plain::Shape>::shape()
    }};
}

macro_rules! names_subjects {
    (plain $type:ty) => {
        <$type as $crate::plain::Plain>::NAMES_SUBJECTS
    };
    ($class:ident $type:ty) => {
        false
    };
}

macro_rules! named {
    ($self:ident plain $field:ident) => {
        $crate::plain::Plain::subject(&$self.$field)
    };
    ($self:ident $class:ident $field:ident) => {
        None
    };
}

macro_rules! walk {
    ($self:ident $visit:ident plain $field:ident) => {};
    ($self:ident $visit:ident profile $field:ident $subject:ident) => {
        $crate::declare::walk!(@ $self $visit Profile $field $subject)
    };
    ($self:ident $visit:ident identity $field:ident $subject:ident) => {
        $crate::declare::walk!(@ $self $visit Identity $field $subject)
    };
    ($self:ident $visit:ident moderation $field:ident $subject:ident) => {
        $crate::declare::walk!(@ $self $visit Moderation $field $subject)
    };
    ($self:ident $visit:ident hold $field:ident $subject:ident) => {
        $crate::declare::walk!(@ $self $visit Hold $field $subject)
    };
    (@ $self:ident $visit:ident $class:ident $field:ident $subject:ident) => {
        $crate::personal::PersonalField::each(
            &mut $self.$field, stringify!($field), $crate::personal::Class::$class, $self.$subject, $visit,
        )?
    };
}

pub(crate) use {class, events, named, names_subjects, shape, walk};
