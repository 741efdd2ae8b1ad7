//! In: an `@`, a `:` or two hexadecimal digits. Out: an e-mail address, an address of IP version 6 or of a network card.

use std::net::Ipv6Addr;

use super::{Form, Scan, Structure, byte_at, byte_before, check};

/// Longest local part and longest domain, in octets (RFC 5321, section 4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;
/// Endings of file names that are no top-level domains: `logo@2x.png` is no address.
const FILE_ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json", "html"];
/// French words that end in an apostrophe before a vowel.
const ELISIONS: [&str; 9] = ["c", "d", "j", "l", "m", "n", "qu", "s", "t"];

impl Scan<'_> {
    /// An address around the `@` at `at`: a dot-atom (RFC 5322, section 3.4.1; letters of any script, RFC 6531)
    /// and a domain of at least two labels.
    pub(super) fn email(&mut self, at: usize) {
        let Some(before) = self.text.get(..at) else { return };
        let mut start = at;
        for (place, c) in before.char_indices().rev() {
            if at - place > MAX_LOCAL || !(c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)) {
                break;
            }
            start = place;
        }
        // What may open a quotation or a list is not taken for part of the name, though the standard allows it.
        if let Some(cut) = self.slice(&(start..at)).rfind(['/', '=', '`', '{', '|', '}', '?', '&']) {
            start += cut + 1;
        }
        let name = self.slice(&(start..at));
        start += name.len() - name.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_').len();
        // «l'adresse d'anne@…» is French, «o'brien@…» is a name.
        if let Some((article, _)) = self.slice(&(start..at)).split_once('\'')
            && ELISIONS.iter().any(|elision| article.eq_ignore_ascii_case(elision))
        {
            start += article.len() + 1;
        }
        let name = self.slice(&(start..at));
        let Some(after) = self.text.get(at + 1..) else { return };
        let domain_end = after
            .char_indices()
            .find(|(place, c)| *place > MAX_DOMAIN || !(c.is_alphanumeric() || matches!(c, '-' | '.')))
            .map_or(after.len(), |(place, _)| place);
        let domain = after.get(..domain_end).unwrap_or_default().trim_end_matches(['.', '-']);
        if name.is_empty()
            || name.ends_with('.')
            || name.contains("..")
            || !is_domain(domain)
            || self.is_user_information(start)
        {
            return;
        }
        let end = at + 1 + domain.len();
        // `git@host.example:path` names a repository.
        let is_repository = name == "git" && byte_at(self.bytes, end) == b':';
        let form = if is_repository { Form::Weak } else { Form::Telling };
        let value = self.slice(&(start..end)).to_lowercase();
        self.found(Structure::Email, start..end, form, value);
    }

    /// Whether what starts at `start` stands before the host of a URL (RFC 3986, section 3.2.1).
    fn is_user_information(&self, start: usize) -> bool {
        // `$` and `{` start the name of a variable that stands in the place of the password.
        let before = self.bytes.get(..start).unwrap_or_default();
        let start = start - before.iter().rev().take(2).take_while(|byte| b"$%{".contains(*byte)).count();
        if !matches!(byte_before(self.bytes, start), b':' | b'/') {
            return false;
        }
        let before = self.bytes.get(start.saturating_sub(128)..start).unwrap_or_default();
        let word = before.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
        let authority =
            word.windows(3).rposition(|three| three == b"://").and_then(|place| word.get(place + 3..));
        authority.is_some_and(|authority| !authority.contains(&b'/'))
    }

    /// An address around the `:` at `at` (RFC 4291, section 2.2); answers where to look on. `from` is where the
    /// last one ended.
    pub(super) fn ip_v6(&mut self, at: usize, from: usize) -> usize {
        let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        let mut start = at;
        while start > from && is_part(byte_before(self.bytes, start)) {
            start -= 1;
        }
        let mut end = at;
        while is_part(byte_at(self.bytes, end)) {
            end += 1;
        }
        let done = end;
        if check::is_word(byte_before(self.bytes, start)) || check::is_word(byte_at(self.bytes, end)) {
            return done;
        }
        let token = self.slice(&(start..end));
        let token = match token.strip_suffix("::") {
            Some(_) => token,
            None => token.trim_end_matches([':', '.']),
        };
        end = start + token.len();
        let Ok(address) = token.parse::<Ipv6Addr>() else { return done };
        // What is assigned: global unicast, unique local, link-local, multicast, and version 4 in version 6
        // (RFC 4291, section 2.4). Other hexadecimal groups are rather a MAC address or a path in a language.
        let first = address.segments().first().copied().unwrap_or(0);
        let is_assigned = matches!(first >> 13, 0b001)
            || first >> 9 == 0xfc >> 1
            || first >> 6 == 0xfe80 >> 6
            || first >> 8 == 0xff
            || address.to_ipv4_mapped().is_some();
        // Eight groups of mostly four digits are an address of whatever block.
        let is_whole = !token.contains("::")
            && token.len() >= 28
            && token.bytes().any(|byte| byte.is_ascii_alphabetic());
        if (is_assigned || is_whole) && token.bytes().any(|byte| byte.is_ascii_digit()) {
            self.found(Structure::Ip, start..end, Form::Telling, address.to_string());
        } else if address.is_loopback() {
            self.found(Structure::Ip, start..end, Form::Weak, address.to_string());
        }
        done
    }

    /// A hardware address (EUI-48) from the first of its pairs, or groups of four as Cisco writes it.
    pub(super) fn mac(&mut self, at: usize) {
        let (width, separator) = match byte_at(self.bytes, at + 2) {
            separator @ (b':' | b'-') => (2, separator),
            _ if byte_at(self.bytes, at + 4) == b'.' => (4, b'.'),
            _ => return,
        };
        let end = at + 12 + 12 / width - 1;
        let Some(token) = self.bytes.get(at..end) else { return };
        let is_address = token.iter().enumerate().all(|(place, byte)| {
            if place % (width + 1) == width { *byte == separator } else { byte.is_ascii_hexdigit() }
        });
        let (before, after) = (byte_before(self.bytes, at), byte_at(self.bytes, end));
        let goes_on = |byte: u8| check::is_word(byte) || byte == separator && separator != b'.';
        if !is_address
            || goes_on(before)
            || goes_on(after)
            || (after == b'.' && byte_at(self.bytes, end + 1).is_ascii_hexdigit())
        {
            return;
        }
        let digits: String = token
            .iter()
            .filter(|byte| **byte != separator)
            .map(|byte| char::from(byte.to_ascii_lowercase()))
            .collect();
        // Neither nobody nor everybody; pairs of figures may be a time.
        let is_special = digits.bytes().all(|digit| digit == b'0' || digit == b'f');
        let has_letter = digits.bytes().any(|digit| digit.is_ascii_lowercase());
        if is_special && digits.bytes().all(|digit| digits.starts_with(char::from(digit))) {
            return;
        }
        let form = if has_letter { Form::Telling } else { Form::Weak };
        self.found(Structure::Mac, at..end, form, digits);
    }
}

/// Whether a domain has at least two labels and a last one that can be a top-level domain.
fn is_domain(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else { return false };
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_top =
        top.starts_with("xn--") || (top.chars().count() >= 2 && top.chars().all(char::is_alphabetic));
    is_top
        && !FILE_ENDINGS.iter().any(|ending| top.eq_ignore_ascii_case(ending))
        && is_label(top)
        && rest.split('.').all(is_label)
}
