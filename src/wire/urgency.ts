// How urgent a request is beside the others of its session (PROTOCOL.md, "Query"; RFC 9218, section 4.1).

/** Goes before everything else. */
export const URGENCY_FIRST = 0;

/** Where a request does not say. "The default is 3" (RFC 9218, section 4.1). */
export const URGENCY_DEFAULT = 3;

/** Goes when nothing else waits. "between 0 and 7 inclusive, in descending order of priority" (section 4.1). */
export const URGENCY_LAST = 7;
