// What names the protocol to the world: its name in ALPN and its port (PROTOCOL.md, "Security layer").

/** The protocol that ALPN negotiates. */
export const ALPN_PROTOCOL = "sqp/1";

/** The UDP port of a server that says nothing else. */
export const DEFAULT_PORT = 4433;
