//! In: detectors and where further sets of texts stand. Out: tables of how well and how fast they find, line by line.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use novacrm_engine_core::FingerprintKey;
use novacrm_engine_core::detectors::{DetectorSet, catalogue};
use novacrm_engine_core::text::Readings;

use super::peers::{Peer, PeerError};
use super::score::{self, share};
use super::{Labelled, Record, make};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// From this score on a finding counts, as it does for a policy that says nothing else.
const LEAST: f64 = 0.5;
/// Where the made texts start from: other seeds make other texts of the same kinds.
const SEED: u64 = 20_261_125;
const ROUNDS: usize = 5;

/// The built-in detectors, all or one family.
pub struct Ours {
    set: DetectorSet,
    key: FingerprintKey,
}

impl Ours {
    /// The detectors whose id starts so; all for an empty text.
    ///
    /// # Errors
    /// Never for what the catalogue has.
    pub fn new(family: &str) -> Result<Self, Error> {
        let ids: Vec<&str> =
            catalogue().iter().map(|entry| &*entry.id).filter(|id| id.starts_with(family)).collect();
        Ok(Self { set: DetectorSet::compile(ids, &[])?, key: FingerprintKey::new([7; 32]) })
    }

    /// What they find in a text.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Labelled> {
        self.set
            .scan(&Readings::new(text), &self.key)
            .into_iter()
            .filter(|finding| finding.score >= LEAST)
            .map(|finding| Labelled {
                start: finding.span.start,
                end: finding.span.end,
                kind: finding.kind.to_string(),
            })
            .collect()
    }
}

/// A set of texts and how it is scored.
struct Set {
    name: String,
    records: Vec<Record>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Personal,
    Disguised,
    Harmless,
    Secrets,
}

/// Prints how well our detectors and the peers find, on texts made here and on the sets (`*.jsonl`) of a folder.
///
/// # Errors
/// When a set cannot be read. A peer that fails is named and left out.
pub fn quality(peers: &[Peer], corpora: Option<&Path>, say: &dyn Fn(&str)) -> Result<(), Error> {
    let ours = Ours::new("")?;
    let mut sets = vec![
        Set {
            name: "made: CRM texts".into(),
            records: make::personal_data(SEED, 3000),
            kind: Kind::Personal,
        },
        Set {
            name: "made: disguised values".into(),
            records: make::disguised(SEED, 10),
            kind: Kind::Disguised,
        },
        Set {
            name: "made: harmless words, same disguises".into(),
            records: make::harmless(SEED, 1000),
            kind: Kind::Harmless,
        },
    ];
    for file in
        corpora.into_iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
    {
        let path = file.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let records = super::read(&std::fs::read_to_string(&path)?)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let kind = kind_of(&records);
            sets.push(Set { name, records, kind });
        }
    }
    for set in &sets {
        say(&format!("\n{} ({} texts)", set.name, set.records.len()));
        let texts: Vec<&str> = set.records.iter().map(|record| record.text.as_str()).collect();
        let found: Vec<Vec<Labelled>> = texts.iter().map(|text| ours.find(text)).collect();
        let figures = Figures::of(set, &found);
        say(&format!("  {:<24} {}", "novacrm-engine", figures.line()));
        for peer in peers {
            match peer.find(&texts) {
                Ok((found, _)) => {
                    say(&format!("  {:<24} {}", peer.name, Figures::of(set, &found).line()));
                }
                Err(error) => say(&format!("  {error}")),
            }
        }
        figures.details(say);
    }
    Ok(())
}

fn kind_of(records: &[Record]) -> Kind {
    if records.iter().any(|record| record.transform.is_some()) {
        Kind::Disguised
    } else if records.iter().any(|record| record.negative) {
        Kind::Secrets
    } else {
        Kind::Personal
    }
}

/// What a detector does on a set.
enum Figures {
    Personal(score::PersonalData),
    Disguised(BTreeMap<String, (usize, usize)>),
    Harmless(f64),
    Secrets { found: (usize, usize), near: (usize, usize) },
}

impl Figures {
    fn of(set: &Set, found: &[Vec<Labelled>]) -> Self {
        match set.kind {
            Kind::Personal => Self::Personal(score::personal_data(&set.records, found)),
            Kind::Disguised => Self::Disguised(score::disguised(&set.records, found)),
            Kind::Harmless => Self::Harmless(score::silent(found)),
            Kind::Secrets => {
                let (found, near) = score::secrets(&set.records, found);
                Self::Secrets { found, near }
            }
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Personal(figures) => format!(
                "F1 all {:.3}, structured {:.3}; recall on French ids {:.3}; hard negatives hit {:.3}",
                figures.all().f1(),
                figures.structured().f1(),
                figures.french().recall(),
                figures.negatives_hit()
            ),
            Self::Disguised(figures) => {
                let sum = |plain: bool| {
                    let of = figures.iter().filter(|(name, _)| name.eq_ignore_ascii_case("plain") == plain);
                    let (hit, all) = of.fold((0, 0), |(hit, all), (_, (h, a))| (hit + h, all + a));
                    share(hit, all)
                };
                format!("found in disguise {:.3}, plain {:.3}", sum(false), sum(true))
            }
            Self::Harmless(silent) => format!("nothing found in {silent:.3}"),
            Self::Secrets { found: (hit, all), near: (reported, of) } => {
                format!("recall {:.3}, near misses reported {:.3}", share(*hit, *all), share(*reported, *of))
            }
        }
    }

    fn details(&self, say: &dyn Fn(&str)) {
        match self {
            Self::Personal(figures) => {
                for (kind, counts) in &figures.types {
                    say(&format!(
                        "    {kind:<18} F1 {:.3}  precision {:.3}  recall {:.3}  ({} there)",
                        counts.f1(),
                        counts.precision(),
                        counts.recall(),
                        counts.right + counts.missed
                    ));
                }
                let negatives = figures.negatives.iter().filter(|(_, (hit, _))| *hit > 0);
                let hit: Vec<String> =
                    negatives.map(|(kind, (hit, all))| format!("{kind} {hit}/{all}")).collect();
                let hit = if hit.is_empty() { "none".to_owned() } else { hit.join(", ") };
                say(&format!("    hard negatives hit: {hit}"));
            }
            Self::Disguised(figures) => {
                let all: Vec<String> =
                    figures.iter().map(|(name, (hit, all))| format!("{name} {hit}/{all}")).collect();
                say(&format!("    {}", all.join(", ")));
            }
            Self::Harmless(_) | Self::Secrets { .. } => {}
        }
    }
}

/// A figure over the rounds: median, least and most.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    format!(
        "{:.digits$} ({:.digits$} to {:.digits$})",
        at(values.len() / 2),
        at(0),
        at(values.len().saturating_sub(1))
    )
}

/// Prints how fast one thread of this process scans, and how fast the peers do.
///
/// # Errors
/// Never for what the catalogue has.
pub fn speed(peers: &[Peer], say: &dyn Fn(&str)) -> Result<(), Error> {
    let started = Instant::now();
    let all = Ours::new("")?;
    let _ = all.find("first");
    say(&format!(
        "\ncatalogue compiled in {:.0} ms (goal: below 100)",
        started.elapsed().as_secs_f64() * 1e3
    ));
    let secrets = Ours::new("secret.")?;
    let documents = make::documents(SEED, 500, 4096);
    #[expect(clippy::cast_precision_loss, reason = "a size in bytes")]
    let megabytes = documents.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    say(&format!("4 kB mixed documents, one thread, {ROUNDS} rounds over {megabytes:.1} MB"));
    let (mut everything, mut only_secrets, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        everything.push(megabytes / seconds(|| documents.iter().map(|text| all.find(text).len()).sum()));
        only_secrets
            .push(megabytes / seconds(|| documents.iter().map(|text| secrets.find(text).len()).sum()));
        floor.push(
            megabytes
                / seconds(|| {
                    documents.iter().map(|text| text.chars().filter(|c| c.is_alphanumeric()).count()).sum()
                }),
        );
    }
    say(&format!("  everything     {} MB/s (goal: above 20)", spread(everything, 1)));
    say(&format!("  secrets only   {} MB/s (goal: above 40)", spread(only_secrets, 1)));
    say(&format!("  floor: counting letters and digits {} MB/s", spread(floor, 0)));
    for peer in peers {
        match rate(peer, &documents) {
            Ok(rate) => say(&format!("  {:<14} {rate:.1} MB/s", peer.name)),
            Err(error) => say(&format!("  {error}")),
        }
    }
    Ok(())
}

/// Megabytes a second of a peer: documents beside one word alone, so that what its start costs is left out. Of a fast one
/// so many documents that they take longer than the start.
fn rate(peer: &Peer, documents: &[String]) -> Result<f64, PeerError> {
    let (_, start) = peer.find(&["one"])?;
    let mut count = 200;
    loop {
        let texts: Vec<&str> = documents.iter().map(String::as_str).cycle().take(count).collect();
        let (_, took) = peer.find(&texts)?;
        let net = took.saturating_sub(start);
        if net > start || count > 20_000 {
            #[expect(clippy::cast_precision_loss, reason = "a size in bytes")]
            let size = texts.iter().map(|text| text.len()).sum::<usize>() as f64 / 1e6;
            return Ok(size / net.max(Duration::from_millis(1)).as_secs_f64());
        }
        count *= 5;
    }
}

fn seconds(work: impl FnOnce() -> usize) -> f64 {
    let started = Instant::now();
    std::hint::black_box(work());
    started.elapsed().as_secs_f64()
}

/// Prints how fast `scan` gets through long documents with one thread, and the most memory that it takes for them.
///
/// # Errors
/// When a document cannot be written, or `scan` fails.
pub fn long(programs: &Path, say: &dyn Fn(&str)) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let text = make::documents(SEED, 2500, 4096).join("\n");
    let short = folder.path().join("short.txt");
    std::fs::write(&short, "one\n")?;
    say(&format!("\nLong documents, `novacrm-engine scan --threads 1`, {ROUNDS} rounds"));
    for times in [1, 4] {
        let file = folder.path().join(format!("long-{times}.txt"));
        std::fs::write(&file, text.repeat(times))?;
        #[expect(clippy::cast_precision_loss, reason = "a size in bytes")]
        let megabytes = (text.len() * times) as f64 / 1e6;
        let (mut rate, mut peak) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (start, _) = scanned(programs, &short)?;
            let (took, most) = scanned(programs, &file)?;
            let net = took.saturating_sub(start).max(Duration::from_millis(1)).as_secs_f64();
            rate.push(megabytes / net);
            peak.push(most);
        }
        let name = format!("{megabytes:.0} MB");
        say(&format!(
            "  {name:<6} {} MB/s (goal: above 10), at most {} MB in memory",
            spread(rate, 1),
            spread(peak, 0)
        ));
    }
    Ok(())
}

/// How long `scan` takes for a file, and the most megabytes that it had in memory, its program included.
fn scanned(programs: &Path, file: &Path) -> Result<(Duration, f64), Error> {
    let started = Instant::now();
    let mut child = Command::new(programs.join("novacrm-engine"))
        .args(["scan", "--threads", "1"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0.0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        // The kernel keeps the high-water mark: the last reading is the most of what came before it.
        let said = std::fs::read_to_string(&status).unwrap_or_default();
        let mark = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|mark| mark.split_whitespace().next()?.parse::<f64>().ok());
        most = kib.map_or(most, |kib| kib * 1024.0 / 1e6);
        std::thread::sleep(Duration::from_millis(1));
    };
    let took = started.elapsed();
    // 1 says that something was found.
    match ended.code() {
        Some(0 | 1) => Ok((took, most)),
        _ => Err(format!("scan ended with {ended}").into()),
    }
}
