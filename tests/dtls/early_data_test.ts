// What keeps early data from being taken twice.

import { assert, assertEquals } from "@std/assert";
import { ProtocolVersion } from "../../src/dtls/code_points.ts";
import { EARLY_DATA_WINDOW_MS, isFresh, SingleUseTickets } from "../../src/dtls/early_data.ts";
import { obfuscatedAge } from "../../src/dtls/ticket_age.ts";
import type { TicketState } from "../../src/dtls/ticket_keys.ts";
import { Random } from "../harness/random.ts";

Deno.test('RFC 8446 section 8.1: "only allow each session ticket to be used once", in any order', () => {
  const random = new Random(1);
  const tickets = new SingleUseTickets(random.entropy());
  const issued = random.shuffle(Array.from({ length: 1_000 }, () => tickets.issue()));
  for (const ticket of issued) assert(tickets.use(ticket));
  for (const ticket of issued) assert(!tickets.use(ticket));
});

Deno.test("ticket replay for 0-RTT across two endpoints: only the one that issued a ticket takes it", () => {
  const random = new Random(1);
  const [a, b] = [new SingleUseTickets(random.entropy()), new SingleUseTickets(random.entropy())];
  const [ticket, other] = [a.issue(), b.issue()];
  assertEquals(ticket.number, other.number);
  assert(!b.use(ticket));
  assert(a.use(ticket));
  assert(b.use(other));
  assert(!a.use({ ...ticket, number: 1 }), "a ticket that was not issued");
});

Deno.test("what the window has left behind is refused, never forgotten", () => {
  const tickets = new SingleUseTickets(new Random(1).entropy());
  const [used, unused] = [tickets.issue(), tickets.issue()];
  assert(tickets.use(used));
  let last = unused;
  for (let i = 0; i < 200_000; i++) last = tickets.issue();
  assert(tickets.use(last));
  assert(!tickets.use(used));
  assert(!tickets.use(unused));
  assert(!tickets.use(last));
});

Deno.test("RFC 8446 section 8.3: early data is fresh when it arrives at the time that its age tells", () => {
  const issuedAt = 1_800_000_000_000;
  const state = {
    version: ProtocolVersion.DTLS_1_3,
    issuedAt,
    ageAdd: 0xffff_0000,
  } as unknown as TicketState;
  const fresh = (ageMs: number, now: number) =>
    isFresh(state, obfuscatedAge(ageMs, state.ageAdd), now, EARLY_DATA_WINDOW_MS);
  assert(fresh(3_600_000, issuedAt + 3_600_020));
  assert(fresh(3_600_000, issuedAt + 3_610_000));
  assert(!fresh(3_600_000, issuedAt + 3_610_001), "it was kept for too long");
  assert(!fresh(3_600_000, issuedAt + 3_589_999), "its clock is ahead");
  assert(
    !isFresh(state, 0, issuedAt + 1_000_000, EARLY_DATA_WINDOW_MS),
    "an age that is not hidden",
  );
});
