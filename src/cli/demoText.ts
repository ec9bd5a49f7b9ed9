import { Command, InvalidArgumentError, Option } from 'commander';

/** An option that is an integer of at least `least`. */
function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`It must be an integer of at least ${least}.`);
    return value;
  };
}

const twin = () =>
  new Option('--twin <twin>', 'which implementation runs').choices(['ref', 'gpu']).default('gpu');
const adapter = () => new Option('--adapter <text>', 'part of the name of the GPU adapter to use');

/** `subvocab demo text`: SUBVOCAB on real text, in a few minutes. */
export function demoTextCommand(): Command {
  return new Command('text')
    .description(
      'build a table of words and phrases from text, train SUBVOCAB on it, and compare; Ctrl-C saves',
    )
    .argument(
      '<file...>',
      'text files, UTF-8; with several, the last is another domain that training sees little of',
    )
    .requiredOption('--out <folder>', 'where the model, the figures and the report go')
    .option('--k <n>', 'words of a sub-vocabulary', integer(1), 512)
    .option('--words <n>', 'most words and phrases in the table', integer(1), 20_000)
    .option('--without <file>', 'words and phrases that the table must not have, one per line')
    .option('--steps <n>', 'steps of training', integer(1), 300)
    .option('--seconds <n>', 'end training after this time', integer(1), 150)
    .option('--batch <n>', 'rows per step', integer(1), 8)
    .option('--width <n>', 'features per position', integer(1), 64)
    .option('--layers <n>', 'layers', integer(1), 2)
    .option('--sentence <text>', 'show what is sampled after this text; default: a held-out one')
    .option('--seed <n>', 'start values, batches and noise', integer(0), 0)
    .addOption(twin())
    .addOption(adapter())
    .option('--json', 'print the figures as JSON')
    .action(async (files, options) => (await import('./actions/demoText.ts')).demoText(files, options));
}

/** `subvocab sample`: the sub-vocabulary of a text. */
export function sampleCommand(): Command {
  return new Command('sample')
    .description('the words that SUBVOCAB draws after a text, best first')
    .requiredOption('--model <folder>', 'a folder that demo text wrote')
    .requiredOption('--text <text>', 'what stands before [SUBVOCAB]')
    .option('--k <n>', 'how many words; default: as trained', integer(1))
    .option('--exact', 'a sample from all words, exactly; with --best, the best of all')
    .option('--best', 'the best words instead of a Gumbel sample')
    .option('--seed <n>', 'the same seed draws the same words', integer(0), 0)
    .addOption(twin())
    .addOption(adapter())
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./actions/demoText.ts')).sample(options));
}
