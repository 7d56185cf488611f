import { assert, assertEquals } from "@std/assert";
import { eventLogFiles } from "../../src/server/event_log_files.ts";
import type { LogEvent } from "../../src/transport/event_log.ts";
import { delay, loss, mtu } from "../harness/link.ts";
import { SqpPair } from "../harness/sqp_pair.ts";
import { testWith } from "../harness/permissions.ts";
import { link, rowsOf } from "./scenario.ts";

/** The events of the server's side of a transfer over a lossy link. */
function eventsOfTransfer(): { events: LogEvent[]; packetsLost: number; isClosed: boolean } {
  const events: LogEvent[] = [];
  let isClosed = false;
  const eventLog = () => ({
    add: (event: LogEvent) => void events.push(event),
    close: () => void (isClosed = true),
  });
  const toClient = () => link(loss(0.05), mtu(1_300));
  const pair = new SqpPair({ seed: 3, toServer: () => [delay(15)], toClient, eventLog });
  pair.client.ask(rowsOf(400_000));
  pair.answerAll();
  const { packetsLost } = pair.serverSide(pair.client)!.stack.transport!.stats();
  pair.finish();
  return { events, packetsLost, isClosed };
}

Deno.test("an event log tells every packet with its frames, every loss, and the numbers as they change", () => {
  const { events, packetsLost, isClosed } = eventsOfTransfer();
  const of = (name: string) => events.filter((event) => event.name === name);
  const numbers = of("transport:packet_sent").map(({ data }) =>
    (data.header as { packet_number: number }).packet_number
  );
  assertEquals(numbers, numbers.map((_, i) => i));
  assertEquals(of("recovery:packet_lost").length, packetsLost);
  assert(of("transport:packet_received").length > 100);
  assert(of("recovery:metrics_updated").length > 100);
  assert(of("connectivity:mtu_updated").length >= 2);
  const states = of("recovery:congestion_state_updated").map(({ data }) => data.new);
  assertEquals(states.slice(0, 2), ["slow_start", "congestion_avoidance"]);
  const frames = new Set(
    events.flatMap(({ data }) =>
      ((data.frames ?? []) as { frame_type: string }[]).map(({ frame_type }) => frame_type)
    ),
  );
  for (const type of ["ack", "query", "response", "stream_data", "heartbeat", "termination"]) {
    assert(frames.has(type), `${type} of ${[...frames]}`);
  }
  assertEquals(isClosed, true);
  let last = 0;
  for (const { time } of events) {
    assert(time >= last);
    last = time;
  }
});

const needs = {
  permissions: [{ name: "write", path: "/tmp" }, { name: "read", path: "/tmp" }],
} as const;
testWith(
  needs,
  "each session's events are lines of JSON in a file of its own, under a head for qlog",
  () => {
    const folder = Deno.makeTempDirSync();
    try {
      const open = eventLogFiles(`${folder}/logs`, "client", { error() {} });
      for (const session of [1, 2]) {
        const log = open();
        for (let i = 0; i < 2_000; i++) log.add({ time: i, name: "a:b", data: { session } });
        log.close();
        log.add({ time: 0, name: "a:b", data: {} });
      }
      const files = [...Deno.readDirSync(`${folder}/logs`)].map(({ name }) => name).toSorted();
      assertEquals(files.map((name) => name.slice(-7)), ["-1.qlog", "-2.qlog"]);
      const lines = Deno.readTextFileSync(`${folder}/logs/${files[1]}`).trimEnd().split("\n");
      assertEquals(lines.length, 2_001);
      const head = JSON.parse(lines[0]!);
      assertEquals([head.qlog_format, head.trace.vantage_point.type], ["NDJSON", "client"]);
      assertEquals(JSON.parse(lines[2_000]!), { time: 1_999, name: "a:b", data: { session: 2 } });
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);
