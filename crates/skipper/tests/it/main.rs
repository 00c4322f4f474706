//! The real binary, from the outside: the command line alone, and with a server, an edge and applications that are real
//! processes on free ports in folders of their own.

mod agent;
mod bench;
mod caddy;
mod certificates;
mod containers;
mod crashes;
mod deploys;
mod fleet_cli;
mod import;
mod jars;
mod java;
mod java_client;
mod nodes;
mod offline;
mod packages;
mod packaging;
mod releases;
mod replay;
mod robustness;
mod secured;
mod security;
mod shared;
mod shell;
mod slip_cli;
mod slip_config;
mod spring;
mod surprises;
mod tour;
