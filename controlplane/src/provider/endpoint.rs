//! Where the backend of a provider is: its profile's base URL, or the override in its config (RTE-5, PRV-11).
//!
//! Apart from `policy::route::BaseUrl`, which reads a text: here the operator's word for private addresses is known.
//! Invariant: an `Endpoint` has no literal address that RTE-8 refuses. What a name resolves to is judged at each dial.

use std::collections::BTreeMap;
use std::fmt;

use policy::Site;
use policy::route::{BaseUrl, BaseUrlError, Profile, Reach, Scheme};

/// A base URL that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// As it was written, without white space around it.
    pub(crate) text: String,
    /// As it is understood.
    pub(crate) base: BaseUrl,
}

/// Why the base URL of a provider is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointError {
    key: &'static str,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Text(BaseUrlError),
    /// Plain `http`, or an address of the inside, without the operator's word.
    Inside,
    /// Plain `http` to an address of the Internet.
    PlainOutside,
    /// An address that nobody's word opens.
    Never,
}

impl Endpoint {
    /// The endpoint of a provider with this profile and config.
    pub(crate) fn of(
        profile: &Profile,
        config: &BTreeMap<String, String>,
        reach: Reach,
    ) -> Result<Endpoint, EndpointError> {
        let written = config
            .get(profile.base_url_key)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty());
        let text = written.unwrap_or(profile.base_url);
        let refused = |why| EndpointError {
            key: profile.base_url_key,
            why,
        };
        let base = BaseUrl::parse(text).map_err(|error| refused(Why::Text(error)))?;
        judge(&base, reach).map_err(refused)?;
        Ok(Endpoint {
            text: text.to_owned(),
            base,
        })
    }
}

fn judge(base: &BaseUrl, reach: Reach) -> Result<(), Why> {
    if base.scheme == Scheme::Mock {
        return Ok(());
    }
    let Some(addr) = base.authority.host.literal() else {
        let inside = base.scheme == Scheme::Http || base.names_private_endpoint();
        return match (inside, reach) {
            (true, Reach::Public) => Err(Why::Inside),
            (true, Reach::Private) | (false, _) => Ok(()),
        };
    };
    let site = Site::default();
    if site.admits_backend(base, reach, addr) {
        Ok(())
    } else if site.admits_backend(base, Reach::Private, addr) {
        Err(Why::Inside)
    } else if site.classify(addr) == policy::Class::Public {
        Err(Why::PlainOutside)
    } else {
        Err(Why::Never)
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config[{}]: ", self.key)?;
        match self.why {
            Why::Text(error) => write!(f, "the base URL {error}"),
            Why::Inside => f.write_str(
                "plain `http` and private or loopback addresses need allow_private_endpoint",
            ),
            Why::PlainOutside => {
                f.write_str("plain `http` is for private and loopback addresses only; use `https`")
            }
            Why::Never => f.write_str("this address is never dialled, whatever is allowed"),
        }
    }
}

impl std::error::Error for EndpointError {}
