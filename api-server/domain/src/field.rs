//! What is wrong with a field, without its value: the field's name, a stable code and a sentence in each language.

/// Everything that is wrong with a record.
pub type FieldErrors = Vec<FieldError>;

/// One thing that is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field as the API names it.
    pub field: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

/// The kinds of fault. None of them carries what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Empty after the removal of white space.
    Empty,
    /// Longer than this many characters.
    TooLong(usize),
    /// Shorter than this many characters.
    TooShort(usize),
    /// Holds a control or invisible formatting character.
    ControlCharacter,
    /// Not an e-mail address.
    Email,
    /// Not a telephone number that can be dialled, in international or French national form.
    Phone,
    /// Not a domain name.
    Domain,
    /// Not a SIREN: nine digits of which the last is a check digit.
    Siren,
    /// Not a VAT number, or its check digits are wrong.
    VatNumber,
    /// The VAT number belongs to another SIREN.
    VatOfAnotherSiren,
    /// Later than now.
    InTheFuture,
    /// Before 1900.
    TooEarly,
    /// Names something that does not exist, or is not visible to who asks.
    UnknownReference,
    /// Who asks may only name themselves here.
    NotYourself,
    /// A password that guessers try first.
    CommonPassword,
    /// The new password is the current one.
    SamePassword,
    /// Not the current password.
    WrongPassword,
    /// One's own password, which is changed with the current one.
    OwnPassword,
}

impl Fault {
    /// Stable code for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong(_) => "too_long",
            Self::TooShort(_) => "too_short",
            Self::ControlCharacter => "control_character",
            Self::Email => "invalid_email",
            Self::Phone => "invalid_phone",
            Self::Domain => "invalid_domain",
            Self::Siren => "invalid_siren",
            Self::VatNumber => "invalid_vat_number",
            Self::VatOfAnotherSiren => "vat_of_another_siren",
            Self::InTheFuture => "in_the_future",
            Self::TooEarly => "too_early",
            Self::UnknownReference => "unknown_reference",
            Self::NotYourself => "not_yourself",
            Self::CommonPassword => "common_password",
            Self::SamePassword => "same_password",
            Self::WrongPassword => "wrong_password",
            Self::OwnPassword => "own_password",
        }
    }

    /// What is wrong, in French and in English.
    #[must_use]
    pub fn message(self) -> (String, String) {
        let fixed = |fr: &str, en: &str| (fr.to_owned(), en.to_owned());
        match self {
            Self::Empty => fixed("ne peut pas être vide", "must not be empty"),
            Self::TooLong(most) => {
                (format!("au plus {most} caractères"), format!("must have at most {most} characters"))
            }
            Self::TooShort(least) => {
                (format!("au moins {least} caractères"), format!("must have at least {least} characters"))
            }
            Self::ControlCharacter => fixed(
                "contient un caractère de contrôle ou invisible",
                "holds a control or invisible character",
            ),
            Self::Email => fixed("n'est pas une adresse électronique", "is not an e-mail address"),
            Self::Phone => fixed(
                "n'est pas un numéro de téléphone (forme internationale ou nationale française)",
                "is not a telephone number (international or French national form)",
            ),
            Self::Domain => fixed("n'est pas un nom de domaine", "is not a domain name"),
            Self::Siren => fixed(
                "n'est pas un SIREN (neuf chiffres, dont une clé de contrôle)",
                "is not a SIREN (nine digits, one of them a check digit)",
            ),
            Self::VatNumber => {
                fixed("n'est pas un numéro de TVA intracommunautaire", "is not a European VAT number")
            }
            Self::VatOfAnotherSiren => fixed("appartient à un autre SIREN", "belongs to another SIREN"),
            Self::InTheFuture => fixed("est dans le futur", "is in the future"),
            Self::TooEarly => fixed("est antérieur à 1900", "is before 1900"),
            Self::UnknownReference => {
                fixed("n'existe pas ou ne vous est pas visible", "does not exist or is not visible to you")
            }
            Self::NotYourself => fixed("vous ne pouvez désigner que vous-même", "you may only name yourself"),
            Self::CommonPassword => fixed(
                "est trop facile à deviner : évitez les mots de passe répandus, les suites, votre nom et celui de votre \
                 organisation ; quatre mots pris au hasard conviennent",
                "is too easy to guess: avoid common passwords, sequences, your name and that of your organisation; four \
                 random words will do",
            ),
            Self::SamePassword => {
                fixed("doit différer du mot de passe actuel", "must differ from the current password")
            }
            Self::WrongPassword => fixed("n'est pas le mot de passe actuel", "is not the current password"),
            Self::OwnPassword => fixed(
                "changez votre propre mot de passe par `POST /api/v1/auth/password`, avec le mot de passe actuel",
                "change your own password with `POST /api/v1/auth/password`, which takes the current one",
            ),
        }
    }
}

/// Gathers the faults of a record, so that all of them are told at once.
#[derive(Debug, Default)]
pub struct Faults(FieldErrors);

impl Faults {
    /// The value, or `None` after the fault was noted.
    pub fn take<T>(&mut self, field: &'static str, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.note(field, fault)).ok()
    }

    /// As [`Faults::take`] for a field that may be absent: an empty text counts as absent.
    pub fn optional<T>(
        &mut self,
        field: &'static str,
        raw: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let raw = raw.map(str::trim).filter(|raw| !raw.is_empty())?;
        self.take(field, parse(raw))
    }

    /// Notes a fault.
    pub fn note(&mut self, field: &'static str, fault: Fault) {
        self.0.push(FieldError { field, fault });
    }

    /// The record when nothing was noted.
    ///
    /// # Errors
    /// All that was noted.
    pub fn finish<T>(self, record: Option<T>) -> Result<T, FieldErrors> {
        match record {
            Some(record) if self.0.is_empty() => Ok(record),
            _ => Err(self.0),
        }
    }
}
