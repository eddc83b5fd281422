//! Tests of `model_field`.
