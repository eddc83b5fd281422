//! Refusals and failures in gRPC's words (RPC-3).
//!
//! Apart from `refused` because the domain knows no protocol. Invariant: a lost race is ABORTED and a store that is away is
//! UNAVAILABLE, never INTERNAL; no text holds a secret, because none of the texts it is made of does.

use tonic::Status;

use crate::engine::ChangeError;
use crate::refused::Refused;
use crate::store::StoreError;

impl From<Refused> for Status {
    fn from(refused: Refused) -> Status {
        match refused {
            Refused::Invalid(why) => Status::invalid_argument(why),
            Refused::NotFound(why) => Status::not_found(why),
            Refused::Exists(why) => Status::already_exists(why),
            Refused::Precondition(why) => Status::failed_precondition(why),
            Refused::Conflict(why) => Status::aborted(why),
            Refused::Forbidden(why) => Status::permission_denied(why),
        }
    }
}

impl From<ChangeError<Refused>> for Status {
    fn from(error: ChangeError<Refused>) -> Status {
        match error {
            ChangeError::Refused(refused) => refused.into(),
            ChangeError::Contended => {
                Status::aborted("other changes came first each time; try again")
            }
            ChangeError::Store(StoreError::Unavailable(_)) => {
                // What a database says of itself can name its address; that is for the gateway's log.
                Status::unavailable("the store does not answer; nothing was confirmed, try again")
            }
            ChangeError::Store(StoreError::Unusable(_)) => {
                Status::internal("the store cannot be used; the gateway's log says why")
            }
        }
    }
}
