//! The API through its real router, over a real PostgreSQL and an engine behind real mutual TLS. The database of
//! each test is its own; `DATABASE_URL` names a server that may create databases.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod archive;
#[cfg(test)]
mod assessments;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod input;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod records;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod site;
