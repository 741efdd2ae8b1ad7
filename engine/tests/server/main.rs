//! The engine as its peers see it: real PostgreSQL, real TLS, real files.

#[cfg(test)]
mod bundles;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod http;
#[cfg(test)]
mod log;
#[cfg(test)]
mod recogniser;
#[cfg(test)]
mod tokens;
