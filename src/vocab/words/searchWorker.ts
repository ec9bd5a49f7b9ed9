import { parentPort, workerData } from 'node:worker_threads';
import { FormatError } from '../../core/errors.ts';
import { createScanner, type ListsFile, type ScanJob } from './wordScan.ts';

/** A worker thread of a search: gets lists, answers with the best words in them. */
const scanner = createScanner(workerData as ListsFile);
const port = parentPort!;
port.on('message', (job: ScanJob | null) => {
  if (job === null) {
    port.close();
    return;
  }
  try {
    port.postMessage({ result: scanner.scan(job) });
  } catch (error) {
    // Errors lose their class on the way.
    port.postMessage({ damaged: error instanceof FormatError, message: (error as Error).message });
  }
});
