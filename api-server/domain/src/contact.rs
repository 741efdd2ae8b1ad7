//! Contacts: the people the CRM knows.

use uuid::Uuid;

use crate::field::{Faults, FieldErrors};
use crate::permission::Resource;
use crate::record::{Meta, Record};
use crate::text::{EmailAddress, Line, Phone};
use crate::user::Locale;

/// A contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Identity and history.
    pub meta: Meta,
    /// What is known about the person.
    pub details: ContactDetails,
    /// Name of the organisation at the time of reading.
    pub organisation_name: Option<String>,
}

/// What is known about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactDetails {
    /// First name.
    pub first_name: Line,
    /// Family name.
    pub last_name: Line,
    /// E-mail address; one live contact has it.
    pub email: Option<EmailAddress>,
    /// Telephone number in E.164 form.
    pub phone: Option<Phone>,
    /// What the person does.
    pub job_title: Option<Line>,
    /// The language to write in.
    pub locale: Locale,
    /// Where the person works.
    pub organisation_id: Option<Uuid>,
    /// The person asked to be left alone (GDPR, article 21).
    pub do_not_contact: bool,
}

/// The same, not yet validated.
#[derive(Clone, Default)]
pub struct ContactInput {
    /// First name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// What the person does.
    pub job_title: Option<String>,
    /// The language to write in.
    pub locale: Locale,
    /// Where the person works.
    pub organisation_id: Option<Uuid>,
    /// The person asked to be left alone.
    pub do_not_contact: bool,
}

impl ContactInput {
    /// Checks every field. Whether the organisation exists is for the use case to see.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<ContactDetails, FieldErrors> {
        let mut faults = Faults::default();
        let first_name = faults.take("first_name", Line::parse(&self.first_name));
        let last_name = faults.take("last_name", Line::parse(&self.last_name));
        let email = faults.optional("email", self.email.as_deref(), EmailAddress::parse);
        let phone = faults.optional("phone", self.phone.as_deref(), Phone::parse);
        let job_title = faults.optional("job_title", self.job_title.as_deref(), Line::parse);
        let names = first_name.zip(last_name);
        faults.finish(names.map(|(first_name, last_name)| ContactDetails {
            first_name,
            last_name,
            email,
            phone,
            job_title,
            locale: self.locale,
            organisation_id: self.organisation_id,
            do_not_contact: self.do_not_contact,
        }))
    }
}

impl From<ContactDetails> for ContactInput {
    fn from(details: ContactDetails) -> Self {
        let text = |value: &str| value.to_owned();
        Self {
            first_name: text(details.first_name.as_str()),
            last_name: text(details.last_name.as_str()),
            email: details.email.as_ref().map(|value| text(value.as_str())),
            phone: details.phone.as_ref().map(|value| text(value.as_str())),
            job_title: details.job_title.as_ref().map(|value| text(value.as_str())),
            locale: details.locale,
            organisation_id: details.organisation_id,
            do_not_contact: details.do_not_contact,
        }
    }
}

impl Record for Contact {
    const RESOURCE: Resource = Resource::Contact;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validating_what_was_validated_changes_nothing() {
        let input = ContactInput {
            first_name: "Zoé".to_owned(),
            last_name: "Martin".to_owned(),
            email: Some("zoe@exemple.fr".to_owned()),
            phone: Some("06 12 34 56 78".to_owned()),
            job_title: Some(String::new()),
            ..ContactInput::default()
        };
        let details = input.validate().unwrap();
        assert_eq!(details.job_title, None, "an empty text counts as absent");
        assert_eq!(ContactInput::from(details.clone()).validate().unwrap(), details);
    }
}
