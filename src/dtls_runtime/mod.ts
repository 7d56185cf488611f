/**
 * DTLS 1.3 (RFC 9147) for JavaScript: all of the library without sockets, timers or clocks, and beside it what needs a
 * runtime.
 *
 * @module
 */

export * from "../dtls/mod.ts";
