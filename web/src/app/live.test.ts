import { describe, expect, it } from "vitest";
import { eventsOf } from "./live";
import type { StreamEvent } from "./live";

async function read(...pieces: string[]): Promise<StreamEvent[]> {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      controller.close();
    },
  });
  const found: StreamEvent[] = [];
  for await (const event of eventsOf(stream)) found.push(event);
  return found;
}

describe("the stream of changes", () => {
  it("is read however it was cut", async () => {
    const text = 'retry: 1000\nid: 6\n\nid: 7\nevent: changed\ndata: {"at":"é"}\n\n: ping\n\n';
    const whole = await read(text);
    expect(whole).toEqual([
      { id: "6", name: "", text: "" },
      { id: "7", name: "changed", text: '{"at":"é"}' },
    ]);
    expect(await read(...text)).toEqual(whole);
  });
  it("waits for the end of an event", async () => {
    expect(await read("id: 7\nevent: changed\ndata: {}\n")).toEqual([]);
  });
});
