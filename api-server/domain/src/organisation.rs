//! Organisations: companies and public bodies.

use crate::field::{Fault, Faults, FieldErrors};
use crate::permission::Resource;
use crate::record::{Meta, Record};
use crate::text::{Domain, Line, Siren, VatNumber};

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organisation {
    /// Identity and history.
    pub meta: Meta,
    /// What it is.
    pub details: OrganisationDetails,
}

/// What people say about an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganisationDetails {
    /// Trade name.
    pub name: Line,
    /// Domain of its web site and mail; one live organisation has it.
    pub domain: Option<Domain>,
    /// French company identifier.
    pub siren: Option<Siren>,
    /// European VAT number.
    pub vat_number: Option<VatNumber>,
}

/// The same, not yet validated.
#[derive(Clone, Default)]
pub struct OrganisationInput {
    /// Trade name.
    pub name: String,
    /// Domain.
    pub domain: Option<String>,
    /// French company identifier.
    pub siren: Option<String>,
    /// European VAT number.
    pub vat_number: Option<String>,
}

impl OrganisationInput {
    /// Checks every field, and that a French VAT number belongs to the SIREN.
    ///
    /// # Errors
    /// All faults at once.
    pub fn validate(&self) -> Result<OrganisationDetails, FieldErrors> {
        let mut faults = Faults::default();
        let name = faults.take("name", Line::parse(&self.name));
        let domain = faults.optional("domain", self.domain.as_deref(), Domain::parse);
        let siren = faults.optional("siren", self.siren.as_deref(), Siren::parse);
        let vat_number = faults.optional("vat_number", self.vat_number.as_deref(), VatNumber::parse);
        if let (Some(siren), Some(of_vat)) = (&siren, vat_number.as_ref().and_then(VatNumber::siren))
            && siren.as_str() != of_vat
        {
            faults.note("vat_number", Fault::VatOfAnotherSiren);
        }
        faults.finish(name.map(|name| OrganisationDetails { name, domain, siren, vat_number }))
    }
}

impl From<OrganisationDetails> for OrganisationInput {
    fn from(details: OrganisationDetails) -> Self {
        let text = |value: &str| value.to_owned();
        Self {
            name: text(details.name.as_str()),
            domain: details.domain.as_ref().map(|value| text(value.as_str())),
            siren: details.siren.as_ref().map(|value| text(value.as_str())),
            vat_number: details.vat_number.as_ref().map(|value| text(value.as_str())),
        }
    }
}

impl Record for Organisation {
    const RESOURCE: Resource = Resource::Organisation;

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
    fn all_faults_are_told_at_once() {
        let input = OrganisationInput {
            name: " ".to_owned(),
            domain: Some("pas un domaine".to_owned()),
            siren: Some("1".to_owned()),
            vat_number: Some("FR44732829320".to_owned()),
        };
        let faults: Vec<_> = input.validate().unwrap_err().iter().map(|error| error.field).collect();
        assert_eq!(faults, ["name", "domain", "siren"]);
    }

    #[test]
    fn a_vat_number_must_belong_to_the_siren() {
        let input = OrganisationInput {
            name: "Exemple SARL".to_owned(),
            siren: Some("552100554".to_owned()),
            vat_number: Some("FR44732829320".to_owned()),
            ..OrganisationInput::default()
        };
        assert_eq!(input.validate().unwrap_err()[0].fault, Fault::VatOfAnotherSiren);
    }
}
