# The rules of ringfence as Rego: the reference that the compiled table must agree with (RGO).
#
# Input:  {"exec": {"path", "sha256", "ancestors": [path…]}, "network": {"host", "port"}}, and for a
#         request also "request": {"method", "path", "query": {name: [value…]}}. Arguments of the
#         caller are no part of it (RGO-1, IDN-1). The path is canonical (L7-5); names and values of
#         the query are decoded, and pieces of it that servers read in more than one way stand, as
#         received, under the empty name (decision 0010).
# Data:   the policy, presets expanded, absent optional fields left out (RGO-2).
# Host:   lower case, without trailing dot; hosts in the data likewise.
# Extra:  glob_matches(pattern, text) is the host program's: `*` stops at `/`, `**` does not (L7-11).
package ringfence.sandbox

import rego.v1

filesystem_policy := data.filesystem_policy

landlock_policy := data.landlock

process_policy := data.process

inference_policy := data.inference

# --- Connections -------------------------------------------------------------------------------

default allow_network := false

allow_network if count(allowing) > 0

default network_action := "deny"

network_action := "allow" if allow_network

# POL-6: exact host, wildcard, no host; then the key in byte order. Pairs sort like that.
reaching contains [host_rank(endpoint), key] if {
	some key, policy in data.network_policies
	some endpoint in policy.endpoints
	endpoint_matches(endpoint)
}

allowing contains [rank, key] if {
	some [rank, key] in reaching
	binary_allowed(data.network_policies[key])
}

matched_connection_policy := min(allowing)[1]

# Of a request that is judged, the policy that names its decision; else that of the connection.
matched_network_policy := matched_request_policy if {
	input.request
	inspected
}

else := matched_connection_policy

network_policy_for_request := data.network_policies[matched_network_policy]

# The policy a refusal for the binary is about.
reached_network_policy := min(reaching)[1]

default endpoint_allowed(_) := false

endpoint_allowed(policy) if {
	some endpoint in policy.endpoints
	endpoint_matches(endpoint)
}

default binary_allowed(_) := false

binary_allowed(policy) if {
	some binary in policy.binaries
	some path in caller_paths
	binary_matches(binary.path, path)
}

caller_paths contains input.exec.path

caller_paths contains path if some path in input.exec.ancestors

# POL-4: without `*` a pattern is a path, with it a glob.
binary_matches(pattern, path) if {
	not contains(pattern, "*")
	pattern == path
}

binary_matches(pattern, path) if {
	contains(pattern, "*")
	glob_matches(pattern, path)
}

endpoint_matches(endpoint) if {
	endpoint.port == input.network.port
	host_matches(endpoint)
}

# DST-8: an endpoint without a host is any host on its port.
host_matches(endpoint) if not endpoint.host

host_matches(endpoint) if endpoint.host == input.network.host

# POL-3: one label more for `*.`, one or several for `**.`.
host_matches(endpoint) if {
	startswith(endpoint.host, "*.")
	front := host_front(substring(endpoint.host, 1, -1))
	not contains(front, ".")
}

host_matches(endpoint) if {
	startswith(endpoint.host, "**.")
	host_front(substring(endpoint.host, 2, -1))
}

# What stands before the suffix; undefined when nothing does.
host_front(suffix) := front if {
	endswith(input.network.host, suffix)
	front := trim_suffix(input.network.host, suffix)
	front != ""
}

host_rank(endpoint) := 0 if {
	endpoint.host
	not startswith(endpoint.host, "*")
}

host_rank(endpoint) := 1 if startswith(endpoint.host, "*")

host_rank(endpoint) := 2 if not endpoint.host

# Endpoints that match host, port and caller, in the order of POL-6 and then of their policy.
matching_places contains [host_rank(endpoint), key, index] if {
	some key, policy in data.network_policies
	binary_allowed(policy)
	some index, endpoint in policy.endpoints
	endpoint_matches(endpoint)
}

matching_endpoints := [endpoint |
	some place in sort(matching_places)
	endpoint := data.network_policies[place[1]].endpoints[place[2]]
]

configured_endpoints := [endpoint |
	some endpoint in matching_endpoints
	is_configured(endpoint)
]

matched_endpoint_config := configured_endpoints[0]

is_configured(endpoint) if endpoint.protocol

is_configured(endpoint) if endpoint.allowed_ips

# L7-1: one endpoint with a protocol, and every request is judged.
default inspected := false

inspected if {
	some endpoint in matching_endpoints
	endpoint.protocol
}

# --- Requests ----------------------------------------------------------------------------------

# Endpoints that match and speak of the path, by POL-6 for requests: host, then the longest literal
# beginning of their path, then the key.
covering_places contains [host_rank(endpoint), 0 - literal_prefix(endpoint), place[1], place[2]] if {
	some place in matching_places
	endpoint := data.network_policies[place[1]].endpoints[place[2]]
	endpoint_covers(endpoint)
}

endpoint_at(place) := data.network_policies[place[2]].endpoints[place[3]]

endpoint_covers(endpoint) if not endpoint.protocol

endpoint_covers(endpoint) if glob_matches(endpoint.path, input.request.path)

literal_prefix(endpoint) := indexof(endpoint.path, "*") if contains(endpoint.path, "*")

literal_prefix(endpoint) := count(endpoint.path) if not contains(endpoint.path, "*")

literal_prefix(endpoint) := 0 if not endpoint.path

denying_places contains place if {
	some place in covering_places
	some rule in endpoint_at(place).deny_rules
	deny_rule_matches(rule)
}

# Endpoints whose rules allow the request, whatever its slashes, and those that allow it as it is.
granting_places contains place if {
	some place in covering_places
	request_allowed_for_endpoint(endpoint_at(place))
}

allowing_places contains place if {
	some place in granting_places
	slashes_accepted(endpoint_at(place))
}

enforcing_places contains place if {
	some place in covering_places
	endpoint_at(place).enforcement == "enforce"
}

# L7-8: a deny rule of any endpoint wins.
default deny_request := false

deny_request if count(denying_places) > 0

# L7-7: any endpoint that covers the request and allows it.
default allow_request := false

allow_request if {
	count(allowing_places) > 0
	not deny_request
}

# L7-9: what nothing allows is refused where somebody who speaks of the path enforces, or nobody does.
default request_enforced := false

request_enforced if count(enforcing_places) > 0

request_enforced if count(covering_places) == 0

default request_audited := false

request_audited if {
	not deny_request
	not allow_request
	not request_enforced
	not request_target_refused
}

# L7-5: `%2F` is all that keeps the request from being allowed, or from being audited.
default request_target_refused := false

request_target_refused if {
	not deny_request
	not allow_request
	count(granting_places) > 0
}

request_target_refused if {
	not deny_request
	not allow_request
	not request_enforced
	every place in covering_places {
		not slashes_accepted(endpoint_at(place))
	}
}

# A canonical path spells an escaped slash in this way only.
default slashes_accepted(_) := false

slashes_accepted(_) if not contains(input.request.path, "%2F")

slashes_accepted(endpoint) if endpoint.allow_encoded_slash

# L7-6: where nothing is inspected, targets are nobody's business.
slashes_accepted(_) if not inspected

default request_allowed_for_endpoint(_) := false

request_allowed_for_endpoint(endpoint) if not endpoint.protocol

request_allowed_for_endpoint(endpoint) if {
	some rule in endpoint.rules
	method_matches(rule.allow.method)
	path_matches(rule.allow.path)
	query_matches(object.get(rule.allow, "query", {}))
}

deny_rule_matches(rule) if {
	method_matches(rule.method)
	path_matches(rule.path)
	deny_query_matches(object.get(rule, "query", {}))
}

default method_matches(_) := false

method_matches(method) if method == "*"

method_matches(method) if method == input.request.method

# L7-10: a rule for GET covers HEAD.
method_matches(method) if {
	method == "GET"
	input.request.method == "HEAD"
}

default path_matches(_) := false

path_matches(pattern) if glob_matches(pattern, input.request.path)

# Pieces of the query that servers read in more than one way.
query_unreadable if count(input.request.query[""]) > 0

default query_matches(_) := false

query_matches(query) if count(query) == 0

# Every listed name is there and all its values match.
query_matches(query) if {
	not query_unreadable
	every name, pattern in query {
		count(input.request.query[name]) > 0
		every value in input.request.query[name] {
			glob_matches(pattern, value)
		}
	}
}

# For a deny rule one matching value of each listed name is enough.
deny_query_matches(query) if {
	every name, pattern in query {
		some value in input.request.query[name]
		glob_matches(pattern, value)
	}
}

deny_query_matches(query) if {
	count(query) > 0
	query_unreadable
}

# The policy a request's decision is about: whose deny rule, whose grant, whose refusal of `%2F`,
# who enforces, who would have spoken of it; the connection's where nobody speaks of the path.
matched_request_policy := min(denying_places)[2] if deny_request

else := min(allowing_places)[2] if allow_request

else := min(granting_places)[2] if count(granting_places) > 0

else := min(enforcing_places)[2] if count(enforcing_places) > 0

else := min(covering_places)[2] if count(covering_places) > 0

else := matched_connection_policy

request_deny_reason := sprintf("%s %s not permitted by policy", [input.request.method, input.request.path]) if {
	input.request
	not allow_request
}

# --- Why not -----------------------------------------------------------------------------------

deny_reason := "no_network_policies" if count(data.network_policies) == 0

else := "endpoint_not_allowed" if count(reaching) == 0

else := "binary_not_allowed" if not allow_network

else := "deny_rule" if {
	input.request
	deny_request
}

else := "request_not_allowed" if {
	input.request
	inspected
	not allow_request
	not request_target_refused
	request_enforced
}
