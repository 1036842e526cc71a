import { parseJson } from '@pingtoken/shared/wire';
import type { CallRecord } from '../../control-plane/standalone/simulator/record-ring.js';
import type { ReceptionReport } from '../../control-plane/standalone/simulator/received.js';
import type { ServedSummary } from '../../control-plane/standalone/simulator/served.js';

export type ServedCall = CallRecord;
export type Served = ServedSummary & { readonly requests: readonly ServedCall[] };

/** What the provider simulator counted and received, kept without a word from the gateway. */
export interface SimulatorBooks {
  /** With a record of each call, oldest first. */
  served(): Promise<Served>;
  summary(): Promise<ServedSummary>;
  /** The one record of that `x-request-id`. @throws Error when there is none, or more than one */
  servedCall(requestId: string): Promise<ServedCall>;
  received(requestId: string): Promise<ReceptionReport>;
}

/** @param url of the simulator, without a path */
export function createSimulatorBooks(url: string): SimulatorBooks {
  const read = async (path: string): Promise<unknown> => {
    const response = await fetch(url + path, { signal: AbortSignal.timeout(20_000) });
    if (!response.ok) throw new Error(`${path}: status ${response.status}`);
    return parseJson(await response.text());
  };
  return {
    served: async () => (await read('/served')) as Served,
    summary: async () => (await read('/served?requests=false')) as ServedSummary,
    async servedCall(requestId) {
      const { records } = (await read(`/served/${encodeURIComponent(requestId)}`)) as { records: ServedCall[] };
      const [record] = records;
      if (record === undefined || records.length > 1) throw new Error(`${records.length} calls of ${requestId}`);
      return record;
    },
    received: async (requestId) => (await read(`/received/${encodeURIComponent(requestId)}`)) as ReceptionReport,
  };
}
