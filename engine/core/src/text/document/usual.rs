//! In: the name of a key, a column, a header, a tag. Out: its words, and whether they are ones that such names have.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that names usually have in fr, en, de, es, it, nl, pt and pl, in lower case and without accents, with those
/// of the headers of an e-mail and of the tags and attributes of HTML.
const USUAL: &str = "\
    abbr abonne abonnement account achternaam action active actor address addresses admin adres adresse \
    adresses age agence agent agents alt amount amounts anschrift ansprechpartner apellido api app \
    application area arrival article articles aside attribute attributes audio auteur auth author \
    authorization aws azienda azure balance bank banking banque base basket bcc bearer bedrijf begin \
    bemerkung beneficiaire beneficiary bestellung betrag bic billing birth birthdate blockquote body \
    booking br branch btc bucket build button buyer caller calls canvas cap caption card cardholder \
    cards carte cartes cases categorie category cc cell centre cert certificate channel chat child \
    children cidade cipher cite citta city ciudad civilite class cle client cliente clientes clientid \
    clients cluster cni code codes codice codigo cognome col colgroup collection column columns commande \
    comment commentaire comments commit common community companies company compte config configuration \
    connection connections connectionstring consent conta contact contacts content conto contract \
    contrasena contrat contrats cookie correo count country courriel courriels cp created credentials \
    creditor csv cuenta currency customer customers dados data database date dates datos day days db dd \
    debit debiteur debitor debug default delivered delivery departement department description \
    destinataire destination detail details dev device devices devis dfn dialog direccion disposition \
    district div dkim dl dob document documents domain domicilio dossier dossiers driver dsn dt email \
    embed emetteur employe employee employees employer employeur empresa encoding end endereco endpoint \
    entreprise entries entry env environment envoi error errors etat event events exception expires \
    expiry facility facturation facture factures faktura family fattura fatura fax fecha fichier field \
    fields fieldset figcaption figure file files fin firma first firstname fiscal fonction footer form \
    formaction frame from ftp fullname gcp geboorte geboortedatum geboren gebruiker geburt geburtsdatum \
    gegevens gender genre github gitlab given global group groups h hash hausnummer head header headers \
    health height history hmac holder home host hostname house housenumber hr href html http https \
    huisnummer iban id identifiant iframe image images imap imei img imie importe imsi indirizzi \
    indirizzo info information input ins insee instance interlocuteur invoice ip issued issuer item \
    itemprop items iv jdbc job jour json jwt kafka kbd key keys kind klant klanten klient kod kontakt \
    kontakte konto kontonummer kraj kunde kunden label land lang language langue last lastname lat \
    latitude ldap lead leads legend level li libelle licence license lieu ligne lignes limit line lines \
    link links list liste lng local locale location log logger login logins logs lon long longitude \
    lookup mac maiden mail mailer mails mailto main manager mandat map mark matricule member members \
    memo menu message messages meta metadata meter method metier miasto middle mime mitarbeiter mobile \
    mobiles mode model modified mongodb montant month morada motif movil mutuelle mysql naam nachname \
    nacimiento naf naissance name namespace nascimento nascita nationalite nationality nav nazwisko ndeg \
    net network nir node nodes nom nombre nomcomplet nome nonce noscript note notes number numer numero \
    nummer oauth object objet office offre ol op operation optgroup option options order orders org \
    organisation organization origin origine ort otp output owner paese page pages paiement pais param \
    params parent part partner partners parts party passeport passport passwd password path patient \
    patients payload payment payments pays pedido people permis permit person persona personal personne \
    personnes pgpassword phone phones picture pin plaats place placeholder plaque plate plz point \
    pointer policy pop port portable position post postal postcode poste postgres postgresql pre prefix \
    prenom prenoms price primary private prix pro proc prod product products produit profil profile \
    profiles progress project projects property prospect prospects province provincia proxy public \
    quantite quantity query question queue raison reason received receiver rechnung recipient recipients \
    record records redirect redis ref reference references region registration rekening rel remark \
    remarks remarque remarques remote reply report request requests resource response responses result \
    results return role roles root row rows rua rue salaire salarie salaries salary sales salt saml samp \
    score script secret secrets secteur section sector secu secure security select seller sender serial \
    serie server service services session sessions settings severity sex sexe sftp shipping shop siege \
    signature siren siret site size slack small smtp social societe source span sql src ssh ssl ssn sso \
    stack stadt stage staging start started state statement status statut step straat strasse street \
    stripe strong style sub subject subscriber subscription sujet summary sup supplier suppliers support \
    surname svg table tag tags target task tasks tax tbody td team teams tel telefon telefonnummer \
    telefono telefonos telefoonnummer telemovel telephone telephones tels template test text textarea \
    texte tfoot th thead theme thread ticket tickets time timestamp timezone title titre titulaire tls \
    token tokens topic total tr trace track transaction transactions transfer transport travel tva type \
    uid ul ulica unit unsubscribe update updated uri url urls urodzenia usager user username usernames \
    users usuario utente utilisateur utilisateurs utilizador uuid uzytkownik val valeur valor value \
    values var variable variables vat vehicle vehicule vendor vendors version vertrag via video ville \
    vin virement visa voornaam vorname waarde warn warning wartosc wbr web webhook website week wert \
    work worker year zip zone";

/// Words that names have between others, and that make no name by themselves.
const SMALL: &str = "a and au aux b da de del des di do dos du em en et for i in la le les no nr num of or ou p q s the \
    to u un une van von";

/// Most words of a name, longest word, in bytes, and most digits.
const MAX_WORDS: usize = 6;
const MAX_WORD: usize = 24;
const MAX_DIGITS: usize = 2;

static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| USUAL.split(' ').collect());
static SMALL_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| SMALL.split(' ').collect());

/// Whether a word is one that names usually have.
pub(super) fn has(word: &str) -> bool {
    WORDS.contains(word) || SMALL_WORDS.contains(word)
}

/// Whether a word of a name is a usual one that makes it a name.
pub(super) fn is_usual(name: &str) -> bool {
    let mut found = false;
    words(name, |word| {
        found |= WORDS.contains(word);
        !found
    });
    found
}

/// Hands the words of a name to a function, in lower case, without accents and without the digits behind them, until
/// it refuses one; answers whether it took all. What is no name is refused: without a word, with other signs or with
/// more digits than number a few alike.
pub(crate) fn words(name: &str, mut takes: impl FnMut(&str) -> bool) -> bool {
    let mut word = String::with_capacity(MAX_WORD);
    let (mut count, mut digits) = (0, 0);
    let mut last = ' ';
    for c in name.chars().chain([' ']) {
        let starts = c.is_uppercase() && (last.is_lowercase() || last.is_ascii_digit());
        if (starts || !c.is_alphabetic()) && !word.is_empty() {
            count += 1;
            if count > MAX_WORDS || !takes(&word) {
                return false;
            }
            word.clear();
        }
        match c {
            'a'..='z' => word.push(c),
            'A'..='Z' => word.push(c.to_ascii_lowercase()),
            ' ' | '_' | '-' | '.' | '\'' | '/' | '(' | ')' | '°' => {}
            '0'..='9' if digits < MAX_DIGITS => digits += 1,
            _ if c.is_alphabetic() => fold(&mut word, c),
            _ => return false,
        }
        if word.len() > MAX_WORD {
            return false;
        }
        last = c;
    }
    count > 0
}

/// Adds a letter without its mark.
fn fold(word: &mut String, c: char) {
    match c {
        'ß' => word.push_str("ss"),
        'œ' | 'Œ' => word.push_str("oe"),
        'ł' | 'Ł' => word.push('l'),
        _ => {
            let mut base = None;
            unicode_normalization::char::decompose_canonical(c, |part| base = base.or(Some(part)));
            word.extend(base.unwrap_or(c).to_lowercase());
        }
    }
}
