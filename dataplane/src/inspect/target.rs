//! Where an inspected request wants to go, in the one spelling that is judged and sent (L7-4 to L7-6).
//!
//! Pure. Apart from `wire::target` because only a tunnel binds a request to an authority. Invariant: the path that
//! comes out is canonical, and nothing else of the target is sent.

use policy::request::Asked;
use wire::target::{Absolute, split_query};
use wire::{Authority, CanonicalPath, Code, HostField, RequestHead, Upgrade};

use crate::upstream::pool::Form;

/// The target of a request: judged, and sent.
#[derive(Debug)]
pub(crate) struct Aim<'h> {
    pub(crate) path: CanonicalPath,
    pub(crate) query: Option<&'h [u8]>,
}

impl<'h> Aim<'h> {
    /// Reads the target of a request inside the tunnel to `tunnel`.
    ///
    /// # Errors
    /// The code of the refusal.
    pub(crate) fn inside(
        head: &'h RequestHead,
        tunnel: &Authority,
        form: Form,
    ) -> Result<Aim<'h>, Code> {
        if head.method() == b"CONNECT" {
            return Err(Code::InvalidRequestTarget);
        }
        let scheme = form.scheme();
        let names_tunnel = |field: &HostField| {
            let port = field.port.or_else(|| scheme.default_port());
            field.host == tunnel.host && port == Some(tunnel.port)
        };
        // An absolute target does not excuse another Host: both travel.
        if !head.host().is_none_or(names_tunnel) {
            return Err(Code::AuthorityMismatch);
        }
        if head.target().starts_with(b"/") {
            return Aim::of(head.target());
        }
        let absolute = wire::target::absolute(head.target()).map_err(|error| error.code())?;
        if absolute.scheme != scheme || absolute.authority != *tunnel {
            return Err(Code::AuthorityMismatch);
        }
        Aim::absolute(&absolute)
    }

    /// Reads the path of an absolute target.
    ///
    /// # Errors
    /// The code of the refusal.
    pub(crate) fn absolute(absolute: &Absolute<'h>) -> Result<Aim<'h>, Code> {
        Ok(Aim {
            path: CanonicalPath::parse(absolute.path()).map_err(|error| error.code())?,
            query: absolute.query(),
        })
    }

    fn of(target: &'h [u8]) -> Result<Aim<'h>, Code> {
        let (path, query) = split_query(target);
        Ok(Aim {
            path: CanonicalPath::parse(path).map_err(|error| error.code())?,
            query,
        })
    }

    /// The question to the policy.
    pub(crate) fn asked<'r>(&'r self, head: &'r RequestHead) -> Asked<'r> {
        Asked {
            method: head.method(),
            path: &self.path,
            query: self.query,
        }
    }

    /// The origin form, in pieces.
    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        match self.query {
            None => [self.path.as_bytes(), b"", b""],
            Some(query) => [self.path.as_bytes(), b"?", query],
        }
    }

    /// L7-13: `METHOD path`.
    pub(crate) fn rule(&self, head: &RequestHead) -> String {
        let method = String::from_utf8_lossy(head.method());
        format!("{method} {}", String::from_utf8_lossy(self.path.as_bytes()))
    }
}

/// L7-14: nothing that would turn inspected requests into other bytes.
pub(crate) fn upgrade_refused(head: &RequestHead) -> Option<Code> {
    head.upgrade().map(|upgrade| match upgrade {
        Upgrade::H2c => Code::UnsupportedProtocol,
        Upgrade::WebSocket | Upgrade::Other => Code::UpgradeNotAllowed,
    })
}

#[cfg(test)]
mod tests {
    use wire::{HeadLimits, Parse, RequestParser};

    use super::*;

    fn verdict(authority: &str, form: Form, target: &str, host: &str) -> Result<String, Code> {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut parser = RequestParser::new(HeadLimits::default());
        let Parse::Done(head, _) = parser.advance(text.as_bytes()) else {
            panic!("{text}");
        };
        let tunnel = wire::target::connect(authority.as_bytes()).unwrap();
        Aim::inside(&head, &tunnel, form)
            .map(|aim| String::from_utf8(aim.pieces().concat()).unwrap())
    }

    /// L7-4, LR-15, TR-014: the port may be left out where the form implies it, and nowhere else.
    #[test]
    fn a_request_names_the_authority_of_its_tunnel_or_is_refused() {
        let at = |form, target, host| verdict("api.example.com:8080", form, target, host);
        let mismatch = Err(Code::AuthorityMismatch);
        for form in [Form::Plain, Form::Tls] {
            assert_eq!(at(form, "/a", "API.example.com.:8080"), Ok("/a".to_owned()));
            for host in [
                "api.example.com",
                "other.example:8080",
                "api.example.com:443",
                "api.example.com:80",
            ] {
                assert_eq!(at(form, "/a", host), mismatch, "{host}");
            }
        }
        let whole = "http://api.example.com:8080/a?b=/..";
        assert_eq!(
            at(Form::Plain, whole, "api.example.com:8080"),
            Ok("/a?b=/..".to_owned())
        );
        assert_eq!(at(Form::Plain, whole, "other.example"), mismatch);
        assert_eq!(at(Form::Tls, whole, "api.example.com:8080"), mismatch);
        let web = |form, authority, host| verdict(authority, form, "/", host);
        assert_eq!(web(Form::Tls, "h.test:443", "h.test"), Ok("/".to_owned()));
        assert_eq!(web(Form::Plain, "h.test:80", "h.test"), Ok("/".to_owned()));
        assert_eq!(web(Form::Plain, "h.test:443", "h.test"), mismatch);
        assert_eq!(web(Form::Tls, "h.test:80", "h.test"), mismatch);
        assert_eq!(
            web(Form::Tls, "[2001:db8::1]:443", "[2001:DB8:0::1]"),
            Ok("/".to_owned())
        );
    }

    /// L7-5, CP-1 to CP-5, TR-012
    #[test]
    fn what_is_sent_is_the_canonical_path_and_the_query_as_it_was() {
        let at = |target| verdict("h.test:80", Form::Plain, target, "h.test");
        assert_eq!(at("/repos/%2e%2e/admin?x=%2e"), Ok("/admin?x=%2e".into()));
        assert_eq!(at("http://h.test"), Ok("/".to_owned()));
        assert_eq!(at("http://h.test?q"), Ok("/?q".to_owned()));
        for bad in ["/a%5cb", "/../x", "*", "/a/..;x/b", "/a%zz", "h.test:80"] {
            assert_eq!(at(bad), Err(Code::InvalidRequestTarget), "{bad}");
        }
    }
}
