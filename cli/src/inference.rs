//! `ringfence cluster inference`: where https://inference.local leads (CLI-7, CLI-8, CLI-9).

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use proto::inference::{
    ClusterInferenceResponse, Deadlines, GetClusterInferenceRequest, RouteSource, RouteStatus,
    SetClusterInferenceRequest, UnsetClusterInferenceRequest,
};
use serde_json::{Value, json};

use crate::args::{InferenceUnset, InferenceVerb, Millis, Printed, SetArgs, Timeouts, UpdateArgs};
use crate::client::{Client, Kind, Refusal};
use crate::print::{self, Ending, Stop};
use crate::settings::Settings;

/// One of its verbs.
pub(crate) fn inference(verb: InferenceVerb, settings: &Settings) -> Ending {
    match verb {
        InferenceVerb::Set(args) => set(args, settings),
        InferenceVerb::Update(args) => update(&args, settings),
        InferenceVerb::Get(printed) => get(printed, settings),
        InferenceVerb::Unset(args) => unset(&args, settings),
    }
}

fn set(args: SetArgs, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    let request = SetClusterInferenceRequest {
        provider_name: args.provider,
        model_id: args.model,
        expected_version: 0,
        deadlines: Some(merged(Deadlines::default(), args.route.timeouts)),
        verify: args.route.verify,
    };
    let answer = client.call(client.inference().set_cluster_inference(request))?;
    Ok(show(&answer, args.route.printed, settings))
}

/// Read, change, write: whoever was faster is read again, so that no change of another field is lost.
fn update(args: &UpdateArgs, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    for _ in 0..ATTEMPTS_MAX {
        let now = current(&client)?;
        let request = SetClusterInferenceRequest {
            provider_name: args.provider.clone().unwrap_or(now.provider_name),
            model_id: args.model.clone().unwrap_or(now.model_id),
            expected_version: now.version,
            deadlines: Some(merged(
                now.deadlines.unwrap_or_default(),
                args.route.timeouts,
            )),
            verify: args.route.verify,
        };
        match client.call(client.inference().set_cluster_inference(request)) {
            Ok(answer) => return Ok(show(&answer, args.route.printed, settings)),
            Err(refusal) if refusal.kind == Kind::Conflict => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    let why =
        format!("others changed the route {ATTEMPTS_MAX} times meanwhile; nothing was changed");
    Err(Stop::failed(why))
}

fn get(printed: Printed, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    Ok(show(&current(&client)?, printed, settings))
}

fn unset(args: &InferenceUnset, settings: &Settings) -> Ending {
    let client = Client::connect(settings)?;
    print::confirm("remove the inference route", args.yes.into())?;
    let request = UnsetClusterInferenceRequest::default();
    let answer = client.call(client.inference().unset_cluster_inference(request))?;
    let value = json!({ "removed": answer.removed });
    let people = || match answer.removed {
        true => "removed".to_owned(),
        false => "there was no route".to_owned(),
    };
    print::shown(settings.form(args.printed), &value, people);
    Ok(ExitCode::SUCCESS)
}

/// The route in force.
pub(crate) fn current(client: &Client) -> Result<ClusterInferenceResponse, Refusal> {
    client.call(
        client
            .inference()
            .get_cluster_inference(GetClusterInferenceRequest {}),
    )
}

fn merged(stored: Deadlines, typed: Timeouts) -> Deadlines {
    let or = |typed: Option<Millis>, stored: u32| typed.map_or(stored, |Millis(ms)| ms);
    Deadlines {
        connect_ms: or(typed.connect_timeout, stored.connect_ms),
        header_ms: or(typed.header_timeout, stored.header_ms),
        idle_ms: or(typed.idle_timeout, stored.idle_ms),
        total_ms: or(typed.total_timeout, stored.total_ms),
    }
}

fn show(answer: &ClusterInferenceResponse, printed: Printed, settings: &Settings) -> ExitCode {
    let value = view(answer);
    print::shown(settings.form(printed), &value, || people(&value));
    ExitCode::SUCCESS
}

/// The keys of `--output json`. A time-out of null is the default.
pub(crate) fn view(answer: &ClusterInferenceResponse) -> Value {
    let deadlines = answer.deadlines.unwrap_or_default();
    let ms = |ms: u32| (ms > 0).then_some(ms);
    json!({
        "provider": answer.provider_name,
        "model": answer.model_id,
        "version": answer.version,
        "source": match answer.source() {
            RouteSource::Unspecified => Value::Null,
            RouteSource::Configured => "configured".into(),
            RouteSource::NvidiaDefault => "nvidia_default".into(),
        },
        "status": match answer.status() {
            RouteStatus::Unspecified => Value::Null,
            RouteStatus::Ready => "ready".into(),
            RouteStatus::Broken => "broken".into(),
        },
        "error_code": Some(&answer.error_code).filter(|code| !code.is_empty()),
        "timeouts": {
            "connect_ms": ms(deadlines.connect_ms),
            "header_ms": ms(deadlines.header_ms),
            "idle_ms": ms(deadlines.idle_ms),
            "total_ms": ms(deadlines.total_ms),
        },
    })
}

/// The same in the order people ask.
fn people(value: &Value) -> String {
    let keys = [
        "provider",
        "model",
        "version",
        "source",
        "status",
        "error_code",
    ];
    let timeouts = value["timeouts"].as_object().into_iter().flatten();
    let set = timeouts.filter(|(_, ms)| !ms.is_null());
    let all = keys.into_iter().map(|key| (key, &value[key]));
    print::facts(all.chain(set.map(|(key, ms)| (key.as_str(), ms))))
}

/// More losses in a row than people make, and an end to a program that does nothing else.
const ATTEMPTS_MAX: u32 = 16;
