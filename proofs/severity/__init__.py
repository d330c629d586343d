"""Proof that committed severity scores follow the rubric and reach a threshold, and nothing else.

It shows that committed numbers are in range and add up; *not* that whoever chose them was honest.

**Statement.** Commitments C_j = v_j·G + γ_j·H to v_1..v_4 (`proofs.pedersen` has the generators), a
rubric (weights ω̂_1..ω̂_4, component_max m), a threshold T, a context. Claim: 0 ≤ v_j ≤ m, and
Σ ω̂_j·v_j ≥ T. With M = m·Σ ω̂_j the excess v_5 = Σ ω̂_j·v_j − T is in 0..M−T, and its commitment
is derived: C_5 = Σ ω̂_j·C_j − T·G, with γ_5 = Σ ω̂_j·γ_j. The commitments C_1..C_4 must be in the
prime-order subgroup.

**Bits.** One aggregated Bulletproof (Bünz, Bootle, Boneh, Poelstra, Wuille, Maxwell,
"Bulletproofs", 2018, §4.1 and §4.2) over N = 24 slots, where the paper's powers of two are replaced
by exact weights. Value j with the maximum m_j (m_1..m_4 = m, m_5 = M−T) has k = ⌈log2(m_j+1)⌉ slots
of weights 1, 2, 4, …, 2^(k−2), m_j − 2^(k−1) + 1, whose subset sums are exactly 0..m_j
(`severity.weights`). Slots in order: v_1's, …, v_5's, then padding. w_j is the vector of length N
with value j's weights in its slots and zero elsewhere; so ⟨1, w_j⟩ = m_j. Slots are counted from 0,
values from 1; r is the group order, all scalars are mod r.

**Prover.** a_L holds the bits (0 in the padding) and a_R = a_L − 1: (41), (42). "→" draws
challenges from the transcript. Numbers are the equations of the paper (ePrint 2017/1066) that a
line stands for.

    A = α·H + Σ a_L,i·G_i + a_R,i·H_i                                    (44)
    S = ρ·H + Σ s_L,i·G_i + s_R,i·H_i                                    (47)
    → Y, z;    y = Y⁻¹ and y^N = (1, y, …, y^23): in *every* slot, padding included
    ω_i = Σ_j z^(1+j)·w_j,i
    l(X) = a_L − z·1 + s_L·X                                             (70)
    r(X) = y^N ∘ (a_R + z·1 + s_R·X) + ω                                 (71)
    t(X) = ⟨l(X), r(X)⟩ = t_0 + t_1·X + t_2·X²
    T_1 = t_1·G + τ_1·H,   T_2 = t_2·G + τ_2·H                           (53)
    → x;       l = l(x),  r = r(x),  t̂ = ⟨l, r⟩                          (58), (59), (60)
    τ_x = τ_2·x² + τ_1·x + Σ_{j=1..5} z^(1+j)·γ_j                        (61)
    μ = α + ρ·x                                                          (62)

*Derivation of t_0.* With a_L ∘ a_R = 0 and a_L − a_R = 1 in every slot, and Σ a_L,i·w_j,i = v_j,

    t_0 = ⟨a_L − z·1, y^N ∘ (a_R + z·1)⟩ + ⟨a_L − z·1, ω⟩
        = z·⟨1, y^N⟩ − z²·⟨1, y^N⟩ + Σ_j z^(1+j)·v_j − Σ_j z^(2+j)·⟨1, w_j⟩
        = Σ_j z^(1+j)·v_j + δ(y, z)
    δ(y, z) = (z − z²)·⟨1, y^N⟩ − Σ_j z^(2+j)·m_j

Conversely, t_0 is as claimed for enough y and z only if ⟨a_L ∘ a_R, y^N⟩ = 0 and
⟨a_L − 1 − a_R, y^N⟩ = 0 for enough y, hence slot by slot: each a_L,i is a bit. Were the padding
without its y^i it would share slot 0's coefficient, two non-bits could cancel, and a component of
11 could be proven (the tests build that proof).

**Inner product.** → w. The argument (§3, Protocol 2) shows l, r with ⟨l, r⟩ = t̂ under

    P = A + x·S − μ·H − z·Σ G_i + Σ (z + Y^i·ω_i)·H_i + w·t̂·U

over the bases G_i and H'_i = Y^i·H_i in three rounds, 24 → 12 → 6 → 3. Round k, with halves lo, hi:

    L_k = Σ a_lo·G_hi + b_hi·H'_lo + w·⟨a_lo, b_hi⟩·U
    R_k = Σ a_hi·G_lo + b_lo·H'_hi + w·⟨a_hi, b_lo⟩·U
    → e_k
    a ← a_lo + e_k⁻¹·a_hi      G  ← G_lo + e_k·G_hi
    b ← b_lo + e_k·b_hi        H' ← H'_lo + e_k⁻¹·H'_hi        P ← P + e_k·L_k + e_k⁻¹·R_k

beginning with a = l, b = r (Protocol 2 with one half left unscaled). The last vectors a and b, of
length 3, are sent. The folded bases at position p = 0..2 are then Σ s_i·G_i and Σ s_i⁻¹·Y^i·H_i
over i = 3·c + p, c = 0..7, where s_i = e_1^c₂·e_2^c₁·e_3^c₀ for the bits c₂c₁c₀ of c.

**Verifier.** With everything decoded, all challenges recomputed, and h_eff = 0xd201000000010001:

    h_eff·( t̂·G + τ_x·H − δ·G + z⁶·T·G − x·T_1 − x²·T_2
            − Σ_{j≤4} (z^(1+j) + z⁶·ω̂_j)·C_j ) = 0
    h_eff·( P + Σ_k (e_k·L_k + e_k⁻¹·R_k) − w·⟨a, b⟩·U
            − Σ_i s_i·a_{i mod 3}·G_i − Σ_i s_i⁻¹·Y^i·b_{i mod 3}·H_i ) = 0

The first is (65) with the aggregation of §4.2, the second (66) and (67) with the inner-product
argument unrolled (§3.1). Both at once, with weights, are in `severity.equation`. Multiplying by the
cofactor everywhere (one proof, a batch, its bisection; every back end) makes torsion in a proof
point invisible, so these points need only be on the curve. A second implementation must do the
same, or the two disagree about some proofs.

**Transcript** (`proofs.transcript`; u32 is big-endian; points compressed; scalars 32 bytes,
big-endian):

    start "signal-mesh/severity/v1"
    absorb "generators" GENERATOR_DST
    absorb "bits" u32(24)
    absorb "rubric" u32(ω̂_1) ‖ … ‖ u32(ω̂_4) ‖ u32(m)
    absorb "threshold" u32(T)
    absorb "context" context
    absorb "commitments" C_1 ‖ C_2 ‖ C_3 ‖ C_4
    absorb "A S" A ‖ S                             challenge "Y", then challenge "z"
    absorb "T1 T2" T_1 ‖ T_2                       challenge "x"
    absorb "tau_x mu t_hat" τ_x ‖ μ ‖ t̂            challenge "w"
    absorb "L R" L_k ‖ R_k                         challenge "e", for k = 1, 2, 3
    absorb "a b" a_0 ‖ a_1 ‖ a_2 ‖ b_0 ‖ b_1 ‖ b_2     challenge "weight", the verifier's own

**Wire**: 768 bytes, see `severity.wire`. Infinity is refused in every encoding; scalars are below
r.
"""

from proofs.severity.errors import (
    BelowThresholdError,
    ComponentRangeError,
    EntropyError,
    ProofEquationError,
    ProofLengthError,
    RubricError,
    SeverityProofError,
    StatementError,
)
from proofs.severity.hints import HINT_BYTES, hint
from proofs.severity.prover import PROVE_ENTROPY, commit_components, prove
from proofs.severity.statement import BITS, COMMITMENT_BYTES, COMPONENTS, Rubric, Statement
from proofs.severity.verifier import BATCH_ENTROPY, verify, verify_batch
from proofs.severity.wire import PROOF_BYTES

__all__ = [
    "BATCH_ENTROPY",
    "BITS",
    "COMMITMENT_BYTES",
    "COMPONENTS",
    "HINT_BYTES",
    "PROOF_BYTES",
    "PROVE_ENTROPY",
    "BelowThresholdError",
    "ComponentRangeError",
    "EntropyError",
    "ProofEquationError",
    "ProofLengthError",
    "Rubric",
    "RubricError",
    "SeverityProofError",
    "Statement",
    "StatementError",
    "commit_components",
    "hint",
    "prove",
    "verify",
    "verify_batch",
]
