// What moves the sampler of SUBVOCAB: the recall that each estimator and each form of the inclusion loss reaches on a toy.
// `node bench/subVocabToy.ts`; shares only, no times.
import { key } from '../src/core/key.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { subVocabConfig } from '../src/models/subVocab/config.ts';
import { initialSubVocab, SubVocab } from '../src/models/subVocab/model.ts';
import { SubVocabTrainer, type SubVocabTrainerOptions } from '../src/models/subVocab/trainer.ts';
import { refBackend } from '../src/ref/backend.ts';

const [words, steps] = [24, 80];
const samOut = { vocabulary: words + 2, width: 8, heads: 2, layers: 1 };
const config = subVocabConfig({ samOut, k: 6, candidates: words });

/** Rows in which w + 1, w + 2, w + 3 follow a word w and [SUBVOCAB]. */
function rows(batch: number, seed: number): Tensor {
  const data: number[] = [];
  for (let r = 0; r < batch; r++) {
    const w = (seed * 7 + r * 5) % words;
    data.push(2 + w, 1, ...[1, 2, 3].map((i) => 2 + ((w + i) % words)));
  }
  return tensor([batch, 5], Int32Array.from(data));
}

async function recall(seed: number, options: Omit<SubVocabTrainerOptions, 'key'>): Promise<number> {
  using model = new SubVocab(refBackend, config, await initialSubVocab(refBackend, config, key(seed)));
  using trainer = new SubVocabTrainer(model, { key: key(1), lr: 0.02, samplerWeight: 4, ...options });
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const report = await trainer.train(rows(8, i));
    if (i >= steps - 10) sum += report.recall / 10;
  }
  return sum;
}

const table: Omit<SubVocabTrainerOptions, 'key'>[] = [
  { estimator: 'none', inclusionWeight: 0 },
  { estimator: 'straightThrough', inclusionWeight: 0 },
  { estimator: 'reinforce', inclusionWeight: 0 },
  { estimator: 'withoutReplacement', inclusionWeight: 0 },
  { estimator: 'unorderedSet', inclusionWeight: 0 },
  { estimator: 'none', inclusionWeight: 0.5, inclusion: 'nll' },
  { estimator: 'none', inclusionWeight: 0.5, inclusion: 'soft' },
  { estimator: 'none', inclusionWeight: 0.5, inclusion: 'hinge' },
];
console.log('| estimator | inclusion loss | recall, two seeds |\n| --- | --- | --- |');
for (const options of table) {
  const found = [await recall(2, options), await recall(3, options)];
  const loss = options.inclusion === undefined ? 'none' : `${options.inclusion}, weight 0.5`;
  console.log(`| ${options.estimator} | ${loss} | ${found.map((v) => v.toFixed(2)).join(', ')} |`);
}
