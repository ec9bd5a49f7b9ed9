import { Command, InvalidArgumentError, Option } from 'commander';

/** `subvocab boundary`: what it costs that a prompt ends inside of a token, over the size of the vocabulary. */
export function boundaryCommand(): Command {
  return new Command('boundary')
    .description('what it costs that a prompt ends inside of a token, over the size of the vocabulary')
    .requiredOption('--text <file...>', 'text files, UTF-8; the last tenth is cut, the rest is trained on')
    .option('--vocabulary <n...>', 'vocabulary sizes (default: 300 600 1200 2400)', sizes)
    .option('--steps <n>', 'training steps per model', integer, 300)
    .option('--width <n>', 'features per position', integer, 64)
    .option('--layers <n>', 'layers', integer, 2)
    .option('--cuts <n>', 'places at which the text is cut', integer, 200)
    .option('--seed <n>', 'start values, batches and cuts', integer, 1)
    .option('--out <file>', 'write the curve as a page', 'boundary.html')
    .addOption(
      new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('gpu'),
    )
    .option('--adapter <text>', 'part of the name of the GPU adapter to use')
    .option('--json', 'print the points as JSON lines')
    .action(async (options) => (await import('./actions/boundary.ts')).boundary(options));
}

function integer(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be an integer of at least 1.');
  return value;
}

/** Each of several sizes. */
function sizes(text: string, before: readonly number[] | undefined): number[] {
  const value = integer(text);
  if (value < 259 || value > 2 ** 20)
    throw new InvalidArgumentError(
      'It must be from 259 (256 bytes and 3 special tokens) to 2^20; give several after one another.',
    );
  return [...(before ?? []), value];
}
