"""MAGTKD's distillation losses (IJCAI 2025, section on knowledge distillation)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def _correlation(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Mean Pearson correlation of `a` and `b` along `dim`."""
    a, b = a - a.mean(dim, keepdim=True), b - b.mean(dim, keepdim=True)
    return functional.cosine_similarity(a, b, dim=dim, eps=1e-8).mean()


def logit_loss(student: Tensor, teacher: Tensor, temperature: float = 2.0) -> Tensor:
    """DIST (Huang et al. 2022): correlation of rows and of columns, (n, classes) each.

    tau^2 x [(1 - mean correlation per row) + (1 - mean correlation per column)].
    """
    p = functional.softmax(student / temperature, dim=1)
    q = functional.softmax(teacher / temperature, dim=1)
    return temperature**2 * ((1 - _correlation(p, q, 1)) + (1 - _correlation(p, q, 0)))


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """KL between the batch's similarities seen by teacher and by student, (n, d) each.

    A student's utterance shall stand to the teacher's utterances as the teacher's own does.
    """
    teacher = functional.normalize(teacher, dim=1)
    target = functional.softmax(teacher @ teacher.T, dim=1)
    student_log = functional.log_softmax(teacher @ functional.normalize(student, dim=1).T, dim=1)
    return functional.kl_div(student_log, target, reduction="batchmean")


def relation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """KL between the batch's similarities among the teacher's and among the student's rows.

    As :func:`feature_loss`, for a student whose features have another size: (n, d) and (n, e). Its
    utterances shall stand to each other as the teacher's do (relational distillation, Park 2019).
    """
    teacher, student = functional.normalize(teacher, dim=1), functional.normalize(student, dim=1)
    target = functional.softmax(teacher @ teacher.T, dim=1)
    student_log = functional.log_softmax(student @ student.T, dim=1)
    return functional.kl_div(student_log, target, reduction="batchmean")
