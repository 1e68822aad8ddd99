//! What a client runs on, as it says itself.

macro_rules! platforms {
    ($($name:ident = $text:literal $number:literal,)*) => {
        /// What a client runs on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Platform { $(#[doc = $text] $name,)* }

        impl Platform {
            /// Every platform.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as clients say it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The platform of that name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)* _ => None }
            }

            /// Its number in the store.
            #[must_use]
            pub const fn number(self) -> i16 {
                match self { $(Self::$name => $number,)* }
            }

            /// The platform of that number.
            #[must_use]
            pub const fn of_number(number: i16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

platforms! {
    Ios = "ios" 1,
    Android = "android" 2,
    HarmonyOs = "harmonyos" 3,
    Web = "web" 4,
    Desktop = "desktop" 5,
    MiniProgram = "mini_program" 6,
}
