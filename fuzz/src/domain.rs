//! Values that people type into the CRM.

use novacrm_api_domain::text::{Domain, EmailAddress, Line, Phone, Prose, Siren, VatNumber, fold};

/// Whatever is accepted is accepted again in the form it was given, and unchanged.
pub fn domain(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    macro_rules! stays {
        ($($kind:ident),+) => {$(
            if let Ok(value) = $kind::parse(&text) {
                let again = $kind::parse(value.as_str());
                assert_eq!(again.as_ref().map(|again| again.as_str()), Ok(value.as_str()), stringify!($kind));
            }
        )+};
    }
    stays!(Line, Prose, EmailAddress, Domain, Phone, Siren, VatNumber);
    let _ = fold(&text);
}
