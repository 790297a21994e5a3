"""Names, companies and places that the seeded leads are made of."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    """Maria James Aisha Chen Lukas Sofia Daniel Priya Emma Mateo Olivia Noah Yuki Fatima Liam Ingrid Omar
    Chloe Rafael Hannah Kofi Elena Marco Zoë Arjun Freya Hugo Leila Tomasz Amara Henrik Nadia Pedro
    Grace Ivan Mei Samuel Anneli Diego Ruth Viktor Salma Oscar Linnea Jamal Clara Andrei Naomi Felix
    Ximena Patrick Sanna Ravi Beatrice Jonas Laila Ethan Margot Kenji Alba George Thandiwe Nikolai Helen
    Youssef Camille Peter Anjali Simon Renée Carlos Edith Bilal Marta Finn Kavita Laura Stefan Dalia
    Thomas Agnes Bruno Jin Caroline Malik Petra Hassan Ella Martin Soraya Adam Teresa Erik Vanessa Paolo
    Judith Sven Isabel Nathan Dorota Karim Alice Gustav Mónica David Zainab Walter Lucía Robert Greta
    Julian Katarzyna Michael Sandra André Joyce Tariq Birgit William Esther"""
)
LAST_NAMES = _words(
    """Keller Okafor Novak Johansson Patel Moreau Silva Tanaka Schmidt Rossi Haddad Murphy Kowalski Nguyen
    Fernández Andersen Brown Ivanova Osei Müller Costa Lindqvist Yamamoto Dubois Kaya Larsen Mehta
    Wójcik Santos Weber Clarke Petrov Jensen Mbeki Rivera Fischer Sato Bakker Ricci Farah Walsh Horvat
    Lefebvre Kumar Virtanen Castillo Berg Ahmed Martínez Vogel Popescu Grant Nakamura Olsen Bianchi
    Sharma Dvořák Hughes Moreno Becker Suzuki Nowak Reid Laurent Abdi Hansen Pereira Wagner Watanabe
    Gallo Evans Salazar Krüger Singh Nilsson Fontaine Romero Chowdhury Marino Braun Diaz Fraser Ito
    Eriksson Mancini Torres Zimmermann Kim Doyle Hartmann Contreras Lindberg Banerjee Conti Roth Navarro
    Morgan Vasquez Seidel Choi Nyström Greco Herrera Blake Lorenz Barbosa Stewart Ibrahim Lehmann Ortega
    Palmer Hoffmann Mendoza Shaw Ekström Ferrari Vargas Byrne Richter Molina Cooper Ziegler Park Arnesen
    Colombo Guerrero Hayes Winkler Ramos Fletcher Sandberg"""
)
COMPANY_HEADS = _words(
    """Northwind Harbour Bluefin Cedar Summit Lantern Granite Meridian Juniper Orchard Beacon Falcon Copper
    Willow Atlas Riverside Amber Keystone Polaris Birch Compass Sterling Tundra Coral Hazel Quarry
    Vantage Maple Zephyr Foxglove Ironbridge Saffron Highland Cobalt Mosaic Larkspur Redwood Silverline
    Aurora Basalt"""
)
COMPANY_TAILS = _words(
    """Logistics Systems Foods Energy Labs Textiles Insurance Robotics Media Pharma Foundry Software
    Consulting Airlines Motors Optics Materials Hotels Analytics Bank Publishing Telecom Shipping
    Instruments Security Ceramics Brewing Outdoor Health Studios"""
)
COMPANY_FORMS = (
    "Ltd", "GmbH", "Inc", "AB", "SA", "LLC", "BV", "Pty Ltd", "SpA", "Group",
)  # fmt: skip
INDUSTRIES = (
    "Manufacturing", "Software", "Financial Services", "Healthcare", "Retail", "Energy", "Education",
    "Media", "Transportation", "Telecommunications", "Hospitality", "Government",
)  # fmt: skip
TITLES = (
    "Marketing Manager", "Head of Operations", "Chief Financial Officer", "Software Engineer",
    "Sales Director", "Procurement Lead", "Product Manager", "Data Analyst", "IT Administrator",
    "VP Marketing", "Office Manager", "Consultant", "Account Executive", "Research Scientist",
    "Customer Success Manager", "Chief Executive Officer",
)  # fmt: skip
DEPARTMENTS = (
    "Marketing", "Operations", "Finance", "Engineering", "Sales", "Procurement", "IT", "Support",
)  # fmt: skip
PLACES = (
    ("Berlin", "BE", "Germany", "10115", "+49 30"), ("Munich", "BY", "Germany", "80331", "+49 89"),
    ("San Mateo", "CA", "United States", "94402", "+1 650"),
    ("Portland", "ME", "United States", "04101", "+1 207"),
    ("Austin", "TX", "United States", "73301", "+1 512"), ("Toronto", "ON", "Canada", "M5H 2N2", "+1 416"),
    ("London", "England", "United Kingdom", "EC1A 1BB", "+44 20"),
    ("Leeds", "England", "United Kingdom", "LS1 4DY", "+44 113"),
    ("Paris", "Île-de-France", "France", "75001", "+33 1"), ("Lyon", "Rhône", "France", "69001", "+33 4"),
    ("Stockholm", "Stockholm", "Sweden", "111 22", "+46 8"), ("Oslo", "Oslo", "Norway", "0150", "+47 22"),
    ("Tokyo", "Tokyo", "Japan", "100-0001", "+81 3"), ("Sydney", "NSW", "Australia", "2000", "+61 2"),
    ("São Paulo", "SP", "Brazil", "01000-000", "+55 11"), ("Madrid", "Madrid", "Spain", "28001", "+34 91"),
    ("Milan", "Lombardy", "Italy", "20121", "+39 02"), ("Nairobi", "Nairobi", "Kenya", "00100", "+254 20"),
    ("Mumbai", "Maharashtra", "India", "400001", "+91 22"),
    ("Warsaw", "Masovia", "Poland", "00-001", "+48 22"),
)  # fmt: skip
SOURCES = (
    "Web", "Trade Show", "Webinar", "Referral", "Advertising", "List Purchase", "Partner",
    "Content Download",
)  # fmt: skip
STATUSES = (
    "New", "Open", "Working", "Qualified", "Nurturing", "Disqualified",
)  # fmt: skip
TIERS = (
    "Bronze", "Silver", "Gold", "Platinum",
)  # fmt: skip
TIME_ZONES = (
    "Europe/Berlin", "America/Los_Angeles", "America/New_York", "Europe/London", "Asia/Tokyo",
    "Australia/Sydney",
)  # fmt: skip
NASTY_TEXTS = (
    "line one\nline two", 'says "hello", twice', "null", "semi;colon\tand tab", "carriage\rreturn",
    "CRLF\r\ninside", "U+2028\u2028and U+2029\u2029", "NUL\u0000inside", "李小龙 😀 Ωmega",
    "  leading and trailing  ", "=SUM(A1:A9)", "back\\slash 'quote'", "Zoë ́ combining", "</script>&amp;",
    "\ufeffbyte order mark", '"', ",",
)  # fmt: skip
LIST_NAMES = (
    "Newsletter Subscribers", "Trade Show Berlin", "Webinar Guests", "Customer Advisory Board",
    "Do Not Forget", "Partner Contacts", "Beta Testers", "Press", "Event Waitlist", "Churn Risk",
    "Quarterly Mailing", "Analysts",
)  # fmt: skip
PROGRAM_NAMES = (
    "Big Blue Thing Product Launch", "Spring Webinar", "Customer Nurture", "Trade Show Berlin",
    "Monthly Newsletter", "Partner Summit", "Content Library", "Onboarding", "Win Back", "Product Tour",
    "Annual Survey", "Roadshow",
)  # fmt: skip
