// Angus Mail 2.0.3 (org.eclipse.angus:angus-mail, Maven): java -cp … Send.java PORT
import jakarta.activation.DataHandler;
import jakarta.mail.*;
import jakarta.mail.internet.*;
import jakarta.mail.util.ByteArrayDataSource;
import java.util.Base64;
import java.util.Properties;

public class Send {
  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    settings.put("mail.smtp.host", "127.0.0.1");
    settings.put("mail.smtp.port", arguments[0]);
    MimeMessage message = new MimeMessage(Session.getInstance(settings));
    message.setFrom(new InternetAddress("joerg@example.net", "Jörg Müller, Köln", "UTF-8"));
    message.setRecipient(Message.RecipientType.TO, new InternetAddress("anna@example.org", "Anna Example"));
    message.setRecipient(Message.RecipientType.CC, new InternetAddress("carl@example.org"));
    message.setSubject("Grüße aus Köln ☕ – eine Betreffzeile, die länger ist, als eine Zeile sein darf", "UTF-8");
    MimeBodyPart text = new MimeBodyPart(), html = new MimeBodyPart(), image = new MimeBodyPart(), pdf = new MimeBodyPart();
    text.setText("Grüße aus Köln! ☕\n\n.ein Punkt am Anfang\n", "UTF-8");
    html.setText("<p>Grüße aus <b>Köln</b>! ☕</p><img src=\"cid:bild@example.net\">\n", "UTF-8", "html");
    image.setDataHandler(new DataHandler(new ByteArrayDataSource(Base64.getDecoder().decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="), "image/png")));
    image.setContentID("<bild@example.net>");
    image.setDisposition(Part.INLINE);
    image.setFileName("bild.png");
    pdf.setDataHandler(new DataHandler(new ByteArrayDataSource("%PDF-1.7\n\u00ff\u0000\r\n".getBytes("ISO-8859-1"), "application/pdf")));
    pdf.setFileName("Übersicht € 2026.pdf");
    MimeMultipart alternative = new MimeMultipart("alternative", text, html);
    MimeBodyPart both = new MimeBodyPart(), related = new MimeBodyPart();
    both.setContent(alternative);
    related.setContent(new MimeMultipart("related", both, image));
    message.setContent(new MimeMultipart("mixed", related, pdf));
    Transport.send(message);
  }
}
