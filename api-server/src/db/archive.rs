//! A database in, a folder with every record out, as of one moment; and back.
//!
//! The folder holds `manifest.json` and, for each table, what `COPY` writes of it under zstd. The manifest names the
//! version of the schema, and of each file the digest and how many rows it has. It is the last thing that is written,
//! into a folder that gets its name after it: a dump that is there under its name is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use time::OffsetDateTime;

use super::store_error;
use crate::services::ports::StoreError;

/// The form of the folder.
const FORMAT: u32 = 1;
/// The file that says what is in the others.
const MANIFEST: &str = "manifest.json";
/// Most bytes of a manifest.
const MAX_MANIFEST: u64 = 1024 * 1024;
/// The migration tool's own table: the manifest has its version instead.
const MIGRATIONS: &str = "_sqlx_migrations";
/// Bytes that are handed to the database at once.
const CHUNK: usize = 256 * 1024;
/// How hard zstd tries.
const LEVEL: i32 = 6;

/// Why a database could not be dumped or restored. No variant holds a value of a row.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest cannot be read.
    #[error("{path} is no manifest of a dump: {source}")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A dump of a later form.
    #[error("the dump has form {0}, and this release reads form {FORMAT}")]
    Format(u32),
    /// A file is not what the manifest says.
    #[error("{0} is not what the manifest says of it: the dump is damaged")]
    Damaged(PathBuf),
    /// The schema is another.
    #[error(
        "the dump is of schema version {dump} (release {release}) and the database has version {database}: restore it \
         into a database that was migrated by that release, then upgrade"
    )]
    Version {
        /// Of the dump.
        dump: i64,
        /// The release that made it.
        release: String,
        /// Of the database.
        database: i64,
    },
    /// The tables are not the ones of the dump.
    #[error("the database has other tables or columns than the dump: {0}")]
    Tables(String),
    /// There are records already.
    #[error("table {0} holds records already; an empty database is needed, or --replace, which deletes them")]
    NotEmpty(String),
    /// References between tables lead in a circle, so no order would do.
    #[error("the references between tables lead in a circle")]
    Circle,
}

/// What a dump holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the folder.
    pub format: u32,
    /// The release that made it.
    pub release: String,
    /// The version of the schema; 0 for a database that was never migrated.
    pub schema_version: i64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// Every table, those first that others refer to.
    pub tables: Vec<Table>,
    /// Where each sequence stands.
    pub sequences: BTreeMap<String, i64>,
}

impl Manifest {
    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// One table of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name; the file is `<name>.copy.zst`.
    pub name: String,
    /// Its columns, in the order of the file.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

impl Table {
    fn file(&self) -> String {
        format!("{}.copy.zst", self.name)
    }

    /// `"name" ("column", …)`.
    fn target(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quote(column)).collect();
        format!("{} ({})", quote(&self.name), columns.join(", "))
    }
}

/// Writes every record into a folder, as of one moment. A whole dump that is there already is left as it is, once it is
/// known to be sound; one that was cut off is begun anew.
///
/// # Errors
/// When the database cannot be read or a file cannot be written; no folder of this name is left then.
pub async fn dump(url: &str, to: &Path, now: OffsetDateTime) -> Result<Manifest, ArchiveError> {
    if to.join(MANIFEST).exists() {
        let manifest = read_manifest(to)?;
        manifest.tables.iter().try_for_each(|table| check(to, table))?;
        return Ok(manifest);
    }
    let mut connection = connect(url).await?;
    // One snapshot for all tables, and nothing can be written by mistake.
    let mut moment = connection.begin().await.map_err(store)?;
    moment.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(store)?;
    let mut manifest = Manifest {
        format: FORMAT,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: version(&mut moment).await?,
        made_at: now,
        tables: in_order(tables(&mut moment).await?, &references(&mut moment).await?)?,
        sequences: sequences(&mut moment).await?,
    };
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = to.with_file_name(name);
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(file(&partial))?;
    }
    std::fs::create_dir_all(&partial).map_err(file(&partial))?;
    for table in &mut manifest.tables {
        copy_out(&mut moment, table, &partial).await?;
    }
    moment.rollback().await.map_err(store)?;
    connection.close().await.map_err(store)?;
    let path = partial.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|source| ArchiveError::Manifest { path: path.clone(), source })?;
    let write = || {
        let mut file = File::create(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(&partial)?.sync_all()
    };
    write().map_err(file(&path))?;
    std::fs::rename(&partial, to).map_err(file(to))?;
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(file(parent))?;
    }
    Ok(manifest)
}

/// Reads a dump back, whole or not at all. The database must have the dump's version of the schema and hold no record;
/// with `replace`, those it holds are deleted. `url` is the migrator's.
///
/// # Errors
/// When the dump is damaged, or the database is another than the dump's, or refuses; nothing is changed then.
pub async fn restore(url: &str, from: &Path, replace: bool) -> Result<Manifest, ArchiveError> {
    let manifest = read_manifest(from)?;
    manifest.tables.iter().try_for_each(|table| check(from, table))?;
    let mut connection = connect(url).await?;
    let mut change = connection.begin().await.map_err(store)?;
    let database = version(&mut change).await?;
    if database != manifest.schema_version {
        let (dump, release) = (manifest.schema_version, manifest.release.clone());
        return Err(ArchiveError::Version { dump, release, database });
    }
    // Names come from the database, never from the file alone.
    let there = in_order(tables(&mut change).await?, &references(&mut change).await?)?;
    same_tables(&there, &manifest.tables)?;
    let all: Vec<String> = there.iter().map(|table| quote(&table.name)).collect();
    if !all.is_empty() {
        run(&mut change, format!("LOCK TABLE {} IN EXCLUSIVE MODE", all.join(", "))).await?;
    }
    for table in &there {
        let query = format!("SELECT EXISTS (SELECT FROM {})", quote(&table.name));
        let holds: bool =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut *change).await.map_err(store)?;
        if holds && !replace {
            return Err(ArchiveError::NotEmpty(table.name.clone()));
        }
    }
    if replace && !all.is_empty() {
        run(&mut change, format!("TRUNCATE {}", all.join(", "))).await?;
    }
    for table in &there {
        // `same_tables` found it.
        let Some(dumped) = manifest.tables.iter().find(|one| one.name == table.name) else { continue };
        copy_in(&mut change, dumped, from).await?;
    }
    for (name, value) in &manifest.sequences {
        sqlx::query("SELECT setval(quote_ident($1)::regclass, $2)")
            .bind(name)
            .bind(value)
            .execute(&mut *change)
            .await
            .map_err(store)?;
    }
    change.commit().await.map_err(store)?;
    connection.close().await.map_err(store)?;
    Ok(manifest)
}

async fn connect(url: &str) -> Result<PgConnection, ArchiveError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Failed("an unreadable database URL".to_owned()))?;
    let options = options.application_name("novacrm-api-server").disable_statement_logging();
    options.connect().await.map_err(store)
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), ArchiveError> {
    // Made of names that the database itself gave, quoted.
    connection.execute(AssertSqlSafe(statement)).await.map(|_| ()).map_err(store)
}

async fn version(connection: &mut PgConnection) -> Result<i64, ArchiveError> {
    let migrated: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(MIGRATIONS)
        .fetch_one(&mut *connection)
        .await
        .map_err(store)?;
    if !migrated {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
        .map_err(store)
}

/// The tables of the schema with the columns that are stored. What an extension brought is its own.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Table>, ArchiveError> {
    let rows: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT class.relname::text, array_agg(attribute.attname::text ORDER BY attribute.attnum)
         FROM pg_class class
         JOIN pg_namespace schema ON schema.oid = class.relnamespace
         JOIN pg_attribute attribute ON attribute.attrelid = class.oid
         WHERE schema.nspname = current_schema() AND class.relkind = 'r' AND class.relname <> $1
           AND attribute.attnum > 0 AND NOT attribute.attisdropped AND attribute.attgenerated = ''
           AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = class.oid AND deptype = 'e')
         GROUP BY class.relname ORDER BY class.relname",
    )
    .bind(MIGRATIONS)
    .fetch_all(connection)
    .await
    .map_err(store)?;
    let table = |(name, columns)| Table { name, columns, rows: 0, bytes: 0, sha256: String::new() };
    Ok(rows.into_iter().map(table).collect())
}

/// Which table refers to which other one.
async fn references(connection: &mut PgConnection) -> Result<Vec<(String, String)>, ArchiveError> {
    sqlx::query_as(
        "SELECT DISTINCT from_class.relname::text, to_class.relname::text
         FROM pg_constraint
         JOIN pg_class from_class ON from_class.oid = conrelid
         JOIN pg_class to_class ON to_class.oid = confrelid
         JOIN pg_namespace schema ON schema.oid = from_class.relnamespace
         WHERE contype = 'f' AND conrelid <> confrelid AND schema.nspname = current_schema()",
    )
    .fetch_all(connection)
    .await
    .map_err(store)
}

/// The sequences that were used.
async fn sequences(connection: &mut PgConnection) -> Result<BTreeMap<String, i64>, ArchiveError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT sequencename::text, last_value FROM pg_sequences
         WHERE schemaname = current_schema() AND last_value IS NOT NULL",
    )
    .fetch_all(connection)
    .await
    .map_err(store)?;
    Ok(rows.into_iter().collect())
}

/// Those first that others refer to.
fn in_order(mut tables: Vec<Table>, references: &[(String, String)]) -> Result<Vec<Table>, ArchiveError> {
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waiting: BTreeSet<&str> = references
            .iter()
            .filter(|(_, to)| tables.iter().any(|table| table.name == *to))
            .map(|(from, _)| from.as_str())
            .collect();
        let (later, now): (Vec<Table>, Vec<Table>) =
            tables.into_iter().partition(|table| waiting.contains(table.name.as_str()));
        if now.is_empty() {
            return Err(ArchiveError::Circle);
        }
        ordered.extend(now);
        tables = later;
    }
    Ok(ordered)
}

fn same_tables(there: &[Table], dumped: &[Table]) -> Result<(), ArchiveError> {
    let shape = |tables: &[Table]| -> BTreeMap<String, BTreeSet<String>> {
        tables.iter().map(|table| (table.name.clone(), table.columns.iter().cloned().collect())).collect()
    };
    let (there, dumped) = (shape(there), shape(dumped));
    let names: BTreeSet<&String> = there.keys().chain(dumped.keys()).collect();
    match names.into_iter().find(|name| there.get(*name) != dumped.get(*name)) {
        Some(name) => Err(ArchiveError::Tables(name.clone())),
        None => Ok(()),
    }
}

async fn copy_out(
    connection: &mut PgConnection,
    table: &mut Table,
    folder: &Path,
) -> Result<(), ArchiveError> {
    let path = folder.join(table.file());
    let at = file(&path);
    let sink = Sink { file: File::create(&path).map_err(&at)?, digest: Sha256::new(), bytes: 0 };
    let mut encoder = zstd::Encoder::new(sink, LEVEL).map_err(&at)?;
    let mut rows =
        connection.copy_out_raw(&format!("COPY {} TO STDOUT", table.target())).await.map_err(store)?;
    while let Some(chunk) = rows.try_next().await.map_err(store)? {
        // In this form a row ends with the only line feed that is not written as `\n`.
        table.rows += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        encoder.write_all(&chunk).map_err(&at)?;
    }
    let sink = encoder.finish().map_err(&at)?;
    sink.file.sync_all().map_err(&at)?;
    table.bytes = sink.bytes;
    table.sha256 = hex::encode(sink.digest.finalize());
    Ok(())
}

async fn copy_in(connection: &mut PgConnection, table: &Table, folder: &Path) -> Result<(), ArchiveError> {
    let path = folder.join(table.file());
    let at = file(&path);
    let source = File::open(&path).map_err(&at)?;
    let mut decoder = zstd::Decoder::new(source).map_err(&at)?;
    let mut copy =
        connection.copy_in_raw(&format!("COPY {} FROM STDIN", table.target())).await.map_err(store)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match decoder.read(&mut chunk) {
            Ok(read) => read,
            Err(error) => {
                // The transaction is rolled back; the connection is not used again.
                drop(copy.abort("the file cannot be read").await);
                return Err(at(error));
            }
        };
        match chunk.get(..read) {
            Some(bytes) if read > 0 => drop(copy.send(bytes).await.map_err(store)?),
            _ => break,
        }
    }
    let rows = copy.finish().await.map_err(store)?;
    if rows == table.rows { Ok(()) } else { Err(ArchiveError::Damaged(folder.join(table.file()))) }
}

fn read_manifest(folder: &Path) -> Result<Manifest, ArchiveError> {
    let path = folder.join(MANIFEST);
    let mut text = Vec::new();
    File::open(&path).and_then(|file| file.take(MAX_MANIFEST).read_to_end(&mut text)).map_err(file(&path))?;
    let no_manifest = |source| ArchiveError::Manifest { path: path.clone(), source };
    // A later form may have other fields.
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    let Form { format } = serde_json::from_slice(&text).map_err(no_manifest)?;
    if format != FORMAT {
        return Err(ArchiveError::Format(format));
    }
    serde_json::from_slice(&text).map_err(no_manifest)
}

/// Whether a file is what the manifest says of it.
fn check(folder: &Path, table: &Table) -> Result<(), ArchiveError> {
    let path = folder.join(table.file());
    // A name of a table is one part of a path; a manifest could say anything.
    if Path::new(&table.file()).file_name() != Some(table.file().as_ref()) {
        return Err(ArchiveError::Damaged(path));
    }
    let mut source = File::open(&path).map_err(file(&path))?;
    let mut digest = Sha256::new();
    let bytes = std::io::copy(&mut source, &mut digest).map_err(file(&path))?;
    if bytes == table.bytes && hex::encode(digest.finalize()) == table.sha256 {
        Ok(())
    } else {
        Err(ArchiveError::Damaged(path))
    }
}

/// A file and the digest of what was written to it.
struct Sink {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> ArchiveError {
    move |source| ArchiveError::File { path: path.to_owned(), source }
}

fn store(error: sqlx::Error) -> ArchiveError {
    store_error(&error).into()
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table { name: name.to_owned(), columns: vec![], rows: 0, bytes: 0, sha256: String::new() }
    }

    fn reference(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let tables = ["a", "b", "c", "d"].map(table).to_vec();
        let references = [reference("a", "c"), reference("c", "d"), reference("b", "a")];
        let names: Vec<String> =
            in_order(tables, &references).unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(names, ["d", "c", "a", "b"]);
    }

    #[test]
    fn a_circle_is_an_error_and_no_endless_work() {
        let references = [reference("a", "b"), reference("b", "a")];
        let error = in_order(vec![table("a"), table("b")], &references).unwrap_err();
        assert!(matches!(error, ArchiveError::Circle), "{error}");
    }

    #[test]
    fn a_manifest_cannot_lead_out_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../escaped", "/etc/passwd", "a/b"] {
            let error = check(folder.path(), &table(name)).unwrap_err();
            assert!(matches!(error, ArchiveError::Damaged(_)), "{name}: {error}");
        }
    }
}
