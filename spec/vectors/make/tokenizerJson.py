"""Ids and texts by the native `tokenizers` library, for our reader of tokenizer.json and for our trainers.

Writes ../tokenizerJson.json: the corpus; `nativeBpe`, what the native BPE trainer learns from it; and tokenizers, each with its
tokenizer.json and, for every string, the ids and the decoded text without special tokens. Two of them are written by
`subvocab tokenizer train`, the others by native trainers. Run it after a change to our trainers, with Node on the path.
"""
import json
import pathlib
import subprocess
import tempfile

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent.parent

CORPUS = "".join(
    line + "\n"
    for line in [
        "The running maximum only ever rises; it never falls. Whoever has seen the largest value keeps it.",
        "A tokenizer cuts text into pieces, and pieces have numbers. The numbers go into the model, one after another.",
        "It's what we've learned: they're called tokens, and I'd say they'll do. We can't cut a byte, don't try it.",
        "for (let i = 0; i < n; i++) { total += values[i] * weights[i]; }   // a loop, with   spaces",
        "In 2024 there were 1,024 tokens; in 2025 there were 32,768, and 100000 in the year after that.",
        "最大值只升不降。词表很大,分词器把文本切成小块,每一块都有一个编号。",
        "Größe, naïveté, façade, Ελληνικά, русский язык, 日本語のテキスト, 한국어, עברית.",
        "Émile a vu l'été; où est-il allé? Ça va. Voilà tout.",
        "🙂 👩‍👩‍👧 café café ﬁ ½ Ⅷ",
    ]
    * 3
)

STRINGS = [
    "",
    " ",
    "  two  spaces  ",
    "The running maximum",
    "the tokens they'll don't WE'VE it's'",
    "\n\n\t tabs\tand\r\nnewlines \n",
    "trailing spaces   ",
    "最大值只升不降。",
    "混合 mixed 文字text词",
    "e\u0301 and \u00e9, \ufb01 and fi, \u00bd",
    "🙂👩‍👩‍👧 flags 🇨🇭",
    "nul \u0000 bell \u0007 del \u007f",
    "\ufeffa byte order mark",
    "right \u202e left, zero\u200bwidth, nbsp\u00a0here, ideographic\u3000space",
    "a\u2028line\u2029paragraph\u0085next",
    "special <begin> inside<pad> text <s> and </s>",
    "1234567890 3.14159 1,024 ½ Ⅷ ٣",
    "__proto__ constructor toString",
    "x" * 300,
    "aaaaaaaaaaaaaaaaaaaaaaaab",
    "!?.,;:!?.,;:---===>>>",
    "unseen script: ጤና ይስጥልኝ 𝔘𝔫𝔦 𐍈",
    "'s 't 're 've 'm 'll 'd 'S",
    "ﬀ Å Å İ ı ß ẞ",
]


def ours(model, vocabulary):
    with tempfile.TemporaryDirectory() as folder:
        text, out = f"{folder}/text.txt", f"{folder}/out.json"
        pathlib.Path(text).write_text(CORPUS, encoding="utf-8")
        command = ["node", str(ROOT / "src/cli/main.ts"), "tokenizer", "train", "--text", text]
        subprocess.run([*command, "--model", model, "--vocabulary", str(vocabulary), "--out", out], check=True)
        return Tokenizer.from_file(out)


def native_bpe():
    """Byte level, the same special tokens and size as ours: its merges must be ours."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        min_frequency=2,
        special_tokens=["<begin>", "<end>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    t.train_from_iterator([CORPUS], trainer)
    return t


def fallback():
    """Like Llama 2: no pre-tokenizer, spaces as a mark, bytes where no token fits."""
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=special, min_frequency=6, show_progress=False)
    t.train_from_iterator(CORPUS.split(), trainer)
    made = json.loads(t.to_str())
    vocab = made["model"]["vocab"]
    for b in bytes_:
        vocab.setdefault(b, len(vocab))
    return Tokenizer.from_str(json.dumps(made))


def word_piece():
    """Like BERT: lower case, no accents, whole words joined by spaces."""
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=False)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    t.train_from_iterator([CORPUS], trainer)
    return t


def unigram():
    """Like T5: pieces with a mark for spaces, unknown characters as one token."""
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=250, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    t.train_from_iterator([CORPUS], trainer)
    return t


def entry(name, t):
    made = json.loads(t.to_str())
    cases = []
    for s in STRINGS:
        ids = t.encode(s, add_special_tokens=False).ids
        cases.append({"ids": ids, "text": t.decode(ids, skip_special_tokens=True)})
    return {"name": name, "json": made, "cases": cases}


def main():
    native = json.loads(native_bpe().to_str())["model"]
    out = {
        "source": f"tokenizers {tokenizers.__version__}",
        "corpus": CORPUS,
        "strings": STRINGS,
        "nativeBpe": {"vocab": native["vocab"], "merges": native["merges"]},
        "tokenizers": [
            entry("our bpe", ours("bpe", 420)),
            entry("our unigram", ours("unigram", 400)),
            entry("byte fallback", fallback()),
            entry("word piece", word_piece()),
            entry("unigram with unknowns", unigram()),
        ],
    }
    path = HERE.parent / "tokenizerJson.json"
    path.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size, "bytes")


main()
