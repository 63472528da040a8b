from tests.models.parity.page import PAGE, with_table


def test_the_page_lists_the_goldens_that_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page
