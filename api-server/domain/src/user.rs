//! Users: the people who work with the CRM, their role and language.

use crate::field::{Fault, Faults, FieldErrors};
use crate::permission::Resource;
use crate::record::{Meta, Record};
use crate::text::{EmailAddress, Line};

/// Makes an enum of a closed set of words: the word each value is stored, sent and measured as.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All values, in the order they are defined.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value a word stands for.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    };
}
pub(crate) use closed_set;

closed_set! {
    /// What a user does in the house; it decides what they may do (see [`crate::permission`]).
    Role {
        /// Sells.
        Sales = "sales",
        /// Keeps the data and the processes in order.
        Ops = "ops",
        /// Watches over the rules.
        Compliance = "compliance",
        /// Leads, and administers users.
        Direction = "direction",
    }
}

closed_set! {
    /// Language of a person.
    #[derive(Default)]
    Locale {
        /// French.
        #[default]
        Fr = "fr",
        /// English.
        En = "en",
    }
}

/// A user. They own themselves, so scope `own` means their own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identity and history.
    pub meta: Meta,
    /// Who they are.
    pub details: UserDetails,
}

/// Who a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDetails {
    /// Address they log in with.
    pub email: EmailAddress,
    /// What they are called.
    pub display_name: Line,
    /// What they may do.
    pub role: Role,
    /// Their language.
    pub locale: Locale,
    /// Whether they may log in.
    pub active: bool,
}

/// The same, not yet validated.
#[derive(Clone)]
pub struct UserInput {
    /// Address they log in with.
    pub email: String,
    /// What they are called.
    pub display_name: String,
    /// What they may do.
    pub role: Role,
    /// Their language.
    pub locale: Locale,
    /// Whether they may log in.
    pub active: bool,
}

impl UserInput {
    /// Checks every field.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<UserDetails, FieldErrors> {
        let mut faults = Faults::default();
        let email = faults.take("email", EmailAddress::parse(&self.email));
        let display_name = faults.take("display_name", Line::parse(&self.display_name));
        faults.finish(email.zip(display_name).map(|(email, display_name)| UserDetails {
            email,
            display_name,
            role: self.role,
            locale: self.locale,
            active: self.active,
        }))
    }
}

impl From<UserDetails> for UserInput {
    fn from(details: UserDetails) -> Self {
        Self {
            email: details.email.as_str().to_owned(),
            display_name: details.display_name.as_str().to_owned(),
            role: details.role,
            locale: details.locale,
            active: details.active,
        }
    }
}

impl Record for User {
    const RESOURCE: Resource = Resource::User;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }
}

/// Least and greatest length of a password, in characters. Length is what counts; no rules about kinds of
/// characters (NIST SP 800-63B-4, section 3.1.1.2). The upper bound keeps hashing cheap.
pub const PASSWORD_LENGTH: (usize, usize) = (12, 256);

/// Checks a new password.
///
/// # Errors
/// When it is too short or too long.
pub fn check_password(password: &str) -> Result<(), Fault> {
    let (least, most) = PASSWORD_LENGTH;
    match password.chars().count() {
        count if count < least => Err(Fault::TooShort(least)),
        count if count > most => Err(Fault::TooLong(most)),
        _ => Ok(()),
    }
}
