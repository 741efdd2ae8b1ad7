//! Errors of use cases as problems.

use axum::http::{HeaderValue, StatusCode, header};
use novacrm_service::problem::{Problem, Text};

use crate::services::ServiceError;
use crate::services::ports::{EngineError, StoreError};

/// Writes an error of a use case as a problem. What nobody outside can mend is logged here, once.
#[must_use]
pub fn problem(error: ServiceError) -> Problem {
    match error {
        ServiceError::Unauthenticated => unauthenticated(
            "unauthenticated",
            Text::new(
                "Connectez-vous : le jeton d'accès manque ou n'est plus valable.",
                "Log in: the access token is missing or no longer holds.",
            ),
        ),
        ServiceError::WrongCredentials => unauthenticated(
            "wrong_credentials",
            Text::new("Adresse ou mot de passe incorrect.", "The address or the password is wrong."),
        ),
        ServiceError::SessionEnded => unauthenticated(
            "session_ended",
            Text::new("La session est terminée ; reconnectez-vous.", "The session ended; log in again."),
        ),
        ServiceError::TooManyAttempts { retry_after } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_attempts",
            "Trop de tentatives",
            "Too many attempts",
        )
        .retry_after(retry_after),
        ServiceError::Busy { retry_after } => busy(retry_after),
        ServiceError::PasswordMustChange => forbidden(
            "password_change_required",
            Text::new(
                "Quelqu'un d'autre a choisi votre mot de passe : choisissez-en un nouveau par `POST /api/v1/auth/password`.",
                "Somebody else chose your password: choose a new one with `POST /api/v1/auth/password`.",
            ),
        ),
        ServiceError::Forbidden(permission) => forbidden(
            "forbidden",
            Text::made(
                format!("Votre rôle ne comporte pas la permission `{permission}` sur cet objet."),
                format!("Your role lacks the permission `{permission}` on this record."),
            ),
        ),
        ServiceError::NotFound => Problem::not_found(),
        ServiceError::Stale { current } => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "stale_version",
            "L'objet a changé entre-temps",
            "The record has changed meanwhile",
        )
        .detail(Text::new(
            "Relisez l'objet, puis refaites votre modification.",
            "Read the record again, then make your change once more.",
        ))
        .member("current_etag", format!("\"{current}\"")),
        ServiceError::Invalid(errors) => errors.iter().fold(Problem::validation(), |problem, error| {
            let (fr, en) = error.fault.message();
            problem.field(format!("/{}", error.field), error.fault.code(), Text::made(fr, en))
        }),
        ServiceError::Duplicate { field } => {
            Problem::new(StatusCode::CONFLICT, "duplicate", "Doublon", "Duplicate").field(
                format!("/{field}"),
                "duplicate",
                Text::new("un autre objet porte déjà cette valeur", "another record has this value already"),
            )
        }
        ServiceError::LastAdministrator => Problem::new(
            StatusCode::CONFLICT,
            "last_administrator",
            "Dernier compte de direction",
            "Last account of role direction",
        )
        .detail(Text::new(
            "Donnez d'abord le rôle `direction` à un autre compte actif.",
            "Give the role `direction` to another active account first.",
        )),
        ServiceError::CursorInvalid => Problem::new(
            StatusCode::BAD_REQUEST,
            "cursor_invalid",
            "Curseur non valide",
            "Invalid cursor",
        )
        .detail(Text::new(
            "Ce curseur n'appartient pas à cette liste, à ce tri ou à ces filtres ; recommencez à la première page.",
            "The cursor does not belong to this list, sort or filters; begin again at the first page.",
        )),
        ServiceError::SortUnknown { known } => query(
            "sort",
            Text::made(
                format!("tris possibles : {}, précédés de `-` pour l'ordre décroissant", known.join(", ")),
                format!("can be sorted by {}, with `-` before it for descending order", known.join(", ")),
            ),
        ),
        ServiceError::KeyReused => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "Clé d'idempotence déjà utilisée",
            "Idempotency key already used",
        )
        .detail(Text::new(
            "Cette clé a servi pour un autre corps de requête ; choisissez-en une nouvelle.",
            "The key was used with another body; choose a new one.",
        )),
        ServiceError::KeyInFlight => Problem::new(
            StatusCode::CONFLICT,
            "idempotency_key_in_flight",
            "Requête en cours",
            "Request under way",
        )
        .detail(Text::new(
            "Une requête avec cette clé est en cours de traitement.",
            "A request with this key is being handled.",
        ))
        .retry_after(1),
        ServiceError::Engine(EngineError::Unavailable) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "engine_unavailable",
            "Moteur de conformité indisponible",
            "Compliance engine unavailable",
        )
        .detail(Text::new(
            "Rien ne peut être enregistré, donc rien ne peut sortir ; réessayez dans un instant.",
            "Nothing can be recorded, so nothing may leave; try again in a moment.",
        ))
        .retry_after(5),
        ServiceError::Engine(error) => {
            tracing::error!(%error, "the compliance engine gave no verdict");
            Problem::internal()
        }
        ServiceError::Store(StoreError::Unavailable) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "database_unavailable",
            "Base de données indisponible",
            "Database unavailable",
        )
        .retry_after(2),
        ServiceError::Store(error) => {
            tracing::error!(%error, "the database refused");
            Problem::internal()
        }
        ServiceError::Internal(reason) => {
            tracing::error!(reason, "internal error");
            Problem::internal()
        }
    }
}

fn unauthenticated(code: &'static str, detail: Text) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, "Authentification requise", "Authentication required")
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"novacrm\""))
}

/// 503: nothing was done, and trying again in a moment may help.
pub(super) fn busy(retry_after: u32) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Service occupé", "Service busy")
        .detail(Text::new(
            "Trop de requêtes attendent déjà ; réessayez dans un instant.",
            "Too many requests are waiting already; try again in a moment.",
        ))
        .retry_after(retry_after)
}

/// 403.
pub(super) fn forbidden(code: &'static str, detail: Text) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code, "Accès refusé", "Access denied").detail(detail)
}

/// 400: a query parameter.
pub(super) fn query(name: &str, message: Text) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_query",
        "Paramètre de requête non valide",
        "Invalid query parameter",
    )
    .field(name, "invalid_value", message)
}
