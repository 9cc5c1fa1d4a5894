"""Words that are everywhere, and so cannot be taken for a person's name on sight.

Used where a declared value is looked for in the rest of a record: a value that is one of these words is
only replaced where it is written exactly as it was declared (`Will`, `Mark`), or not at all where it was
declared in lower case. Not a dictionary: the commonest English words, words of assistants' dialogues, and
first names that are words as well."""

from __future__ import annotations

__all__ = ["COMMON", "NOT_VALUES", "ORGANISATION", "ROLES", "word_set"]


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set: how lists of words are written in this room."""
    return frozenset(text.split())


COMMON = word_set(
    """
    a about above account ace action active add address after again age agent air all also always am amount
    an and angel another any anyone anything app april are area around art as ask at august autumn
    available away baby back bad bank bar be beach because bed been before best better between big bill
    black blue book booking both box boy brave bring brother brown bus business but buy by call can
    cancel car card care cash cat chance change chase check checking child christian city class clay
    clean clear close club code cold come company confirm contact cool could country crystal cup current
    daily data date dawn day dean december deep default destiny did different do doctor does dog don
    done dontcare door down drew drive each early earl east easy eat email end enough even event ever
    every everything false faith family far fast february few file find fine first food for forest found
    frank free friday friend from full game gene general get girl give go going gold good grace grant
    gray great green group guide had hair half hand happy hard has hat have he head health heath hello
    help her here high him his history home hope hot hotel hour house how hunter i id if iris is it its
    ivy jack january jasmine jean jewel job join july june just keep key kind king know lane large last
    late later let life light like lily list little live local location long look lot love low main make
    male man many march mark mason max may maybe me mean medium men message might miles miller mind mine
    minute miss mobile moderate monday money month more morning most move movie much music must my name
    near need never new next nick night no none north not note nothing november now number october of
    off offer office ok okay old olive on once one only open option or order other our out over own page
    paid park part party past pat patience pay people per pearl perfect person phone pick pin place plan
    play please point pool post price private public purchase put question quick quiet rain ray read
    ready real really red regular rent request reserve rest restaurant result return rich right river
    road rob rock rod room rose ruby said sale same sandy saturday savings say school search sea seat
    see send september service set several shall she shop short should show side silver since sir sister
    six sky small so some someone something song soon sorry sound south special spring square standard
    star start state stay still stone stop store street student such summer sun sunday sure system table
    take talk tax taxi team tell ten test text than thank thanks that the their them then there these
    they thing think this those three through thursday ticket time title to today tom tomorrow tonight
    too tool top total town train transfer travel trip true try tuesday two type under unknown until up
    us use user value very via violet visit wade wait walk want warm was watch water way we weather
    wednesday week well went were west what when where which white who why wife will winter wish with
    within woman wood word work world would year yellow yes yesterday yet you young your zero
    """
)

ORGANISATION = word_set(
    """
    academy agency airlines airport apartments associates association bakery bank bar barber barbershop
    beauty bistro boutique cafe care center centre centers church co cinema clinic club college company
    corp corporation cosmetic cuts dental dentist dentistry department dermatology design diner doctors
    family foundation gallery garage grill group gmbh gym hair hall health healthcare hospital hotel
    house inc inn institute kitchen laboratory library limited llc lounge ltd market medical medicine
    motel museum office orthodontics park partners pharmacy physicians pizza practice pub restaurant
    salon salons saloon school services shop skin smile smiles solutions spa specialists station store
    studio studios styles stylists supercuts surgery team theater theatre therapy treatment university
    wellness
    """
)
"""A declared name with one of these in it is a firm: it is looked for as a whole, never by its parts."""

NOT_VALUES = word_set(
    """
    dontcare null none nil n/a na unknown undefined true false yes no any empty string number integer
    boolean object array redacted anonymous default
    """
)
"""What stands under a personal key and says nothing."""

ROLES = word_set(
    "user assistant system tool function developer human ai bot model agent customer client operator"
)
"""Words that say who speaks, not who they are."""
