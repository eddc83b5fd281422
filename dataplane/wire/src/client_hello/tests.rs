//! Tests of `client_hello`.
