"""Names of tensors: the hub's <-> LAVIS's, and old names of VAE attention -> today's."""

import re

# {rest} stands for the rest of a name, {n} for a number; the first rule that fits the whole name decides.
_VIT = "visual_encoder.encoder.layers.{n}.", "visual_encoder.transformer.resblocks.{n}."
_BERT = "encoder.layer.{n}.", "Qformer.bert.encoder.layer.{n}."
_RULES = (
    ("query_tokens", "query_tokens"),
    ("proj_layer.{rest}", "proj_layer.{rest}"),
    ("embeddings.{rest}", "Qformer.bert.embeddings.{rest}"),
    (_BERT[0] + "attention.attention.{rest}", _BERT[1] + "attention.self.{rest}"),
    (_BERT[0] + "crossattention.attention.{rest}", _BERT[1] + "crossattention.self.{rest}"),
    (_BERT[0] + "{rest}", _BERT[1] + "{rest}"),
    ("visual_encoder.embeddings.class_embedding", "visual_encoder.class_embedding"),
    ("visual_encoder.embeddings.position_embedding", "visual_encoder.positional_embedding"),
    ("visual_encoder.embeddings.patch_embedding.{rest}", "visual_encoder.conv1.{rest}"),
    ("visual_encoder.pre_layernorm.{rest}", "visual_encoder.ln_pre.{rest}"),
    ("visual_encoder.post_layernorm.{rest}", "ln_vision.{rest}"),
    (_VIT[0] + "self_attn.qkv.{rest}", _VIT[1] + "attn.in_proj_{rest}"),
    (_VIT[0] + "self_attn.projection.{rest}", _VIT[1] + "attn.out_proj.{rest}"),
    (_VIT[0] + "layer_norm1.{rest}", _VIT[1] + "ln_1.{rest}"),
    (_VIT[0] + "layer_norm2.{rest}", _VIT[1] + "ln_2.{rest}"),
    (_VIT[0] + "mlp.fc1.{rest}", _VIT[1] + "mlp.c_fc.{rest}"),
    (_VIT[0] + "mlp.fc2.{rest}", _VIT[1] + "mlp.c_proj.{rest}"),
)
_HEADS = re.compile(r"(Qformer\.cls|vision_proj|text_proj|itm_head)\..+|temp")
_OLD_ATTENTION = re.compile(r"(.+\.attentions\.\d+\.)(query|key|value|proj_attn)(\..+)")
_TODAYS_ATTENTION = re.compile(r"(.+\.attentions\.\d+\.)(to_q|to_k|to_v|to_out\.0)(\..+)")
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_UNPREFIXED_PROJECTION = re.compile(r"(dense1|dense2|LayerNorm)\..+")
_CLIP_TRUNK = re.compile(r"(class_embedding|positional_embedding|(conv1|ln_pre|transformer)\..+)")
_CLIP_END = re.compile(r"ln_post\..+|proj")
_UNPREFIXED_TEXT = re.compile(r"(embeddings|encoder|final_layer_norm)\..+")


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{n\}|\{rest\})", template)
    known = {"{n}": r"(\d+)", "{rest}": r"(.+)"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


def _filler(template: str) -> str:
    return re.sub(r"\{n\}|\{rest\}", "{}", template)


_TO_LAVIS = [(_pattern(hub), _filler(lavis)) for hub, lavis in _RULES]
_TO_HUB = [(_pattern(lavis), _filler(hub)) for hub, lavis in _RULES]


def to_lavis(name: str) -> str | None:
    """LAVIS's name of a subject encoder's tensor; None when it has none."""
    return _renamed(name, _TO_LAVIS)


def to_hub(name: str) -> str | None:
    """The hub's name of a LAVIS tensor; None for heads of the first training stage and for position_ids.

    A name that no rule knows comes back as it is, so that a strict load can complain of it. The projection's own
    file names its tensors without a prefix, and so does CLIP's trunk, of which the end is not used; a fine-tuned
    checkpoint puts `blip.` before the others.
    """
    name = name.removeprefix("blip.")
    if _UNPREFIXED_PROJECTION.fullmatch(name):
        return f"proj_layer.{name}"
    if _CLIP_TRUNK.fullmatch(name):
        name = f"visual_encoder.{name}"
    if _HEADS.fullmatch(name) or _CLIP_END.fullmatch(name) or is_position_ids(name):
        return None
    return _renamed(name, _TO_HUB) or name


def subject_encoder_name(name: str) -> str | None:
    """The name in our subject encoder of a tensor in a hub file; None for position_ids."""
    return None if is_position_ids(name) else name


def text_encoder_name(name: str) -> str | None:
    """The name in our text encoder, whether the file says `text_model.` or not; None for position_ids."""
    if is_position_ids(name):
        return None
    return f"text_model.{name}" if _UNPREFIXED_TEXT.fullmatch(name) else name


def vae_name(name: str) -> str:
    """Today's name of a VAE's tensor: the attention maps were once called query, key, value and proj_attn."""
    found = _OLD_ATTENTION.fullmatch(name)
    return f"{found[1]}{_ATTENTION[found[2]]}{found[3]}" if found else name


def old_vae_name(name: str) -> str:
    """The name that LAVIS's library had for a VAE's tensor: the way back from `vae_name`."""
    found = _TODAYS_ATTENTION.fullmatch(name)
    if not found:
        return name
    return f"{found[1]}{next(old for old, new in _ATTENTION.items() if new == found[2])}{found[3]}"


def is_position_ids(name: str) -> bool:
    """Whether the tensor is only 0, 1, 2, ..., which older libraries stored."""
    return name.rpartition(".")[2] == "position_ids"


def _renamed(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, filler in rules:
        found = pattern.fullmatch(name)
        if found:
            return filler.format(*found.groups())
    return None
