//! Both planes together, as an operator starts them: a gateway, the command line, and sandboxes that follow.

mod absent;
mod canary;
mod explain;
mod flow;
mod hidden;
mod mutual_tls;
mod plane;
mod providers;
mod records;
mod routes;
mod rpc;
mod sandboxes;
mod scale;
mod starts;
mod switches;
